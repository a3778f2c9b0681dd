"""From microphone frames to turn-taking events."""
