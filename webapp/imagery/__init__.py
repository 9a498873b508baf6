"""Imagery tiles."""
