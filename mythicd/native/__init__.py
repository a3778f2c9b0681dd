"""Native libraries that several packages share, each loaded in one place."""
