"""Hearing when somebody speaks, and when the turn is theirs no more."""
