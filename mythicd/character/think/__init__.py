"""From the player's words to the model's reply."""
