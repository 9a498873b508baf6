"""The socket of a project: commands in, events and leaf blocks out."""
