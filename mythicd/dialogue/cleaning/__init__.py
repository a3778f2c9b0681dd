"""Cleaning a model's reply: what of its text is speech."""
