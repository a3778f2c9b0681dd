"""One character: an actor with a mailbox, and the order of a turn's stages."""
