"""The memory of characters: lore, and what was said and heard."""
