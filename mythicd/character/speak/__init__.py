"""From the model's reply to audio, visemes and tool calls."""
