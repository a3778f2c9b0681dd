"""Giving words a voice and a moving mouth."""
