"""Many characters: the served world, its playthroughs and their clients."""
