"""REST, downloads and uploads."""
