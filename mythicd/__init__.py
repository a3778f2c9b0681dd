"""Mythic: talking characters for games, on the player's own machine."""

__version__ = "0.1.0"
