"""Turning speech into words."""
