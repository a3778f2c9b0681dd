"""What characters know: lore, personas, and what was said and heard."""
