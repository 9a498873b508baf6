"""From the examples of a project to a completed map, and where to click next."""
