"""Audio: PCM arithmetic, wav files, gap filling, the microphone clock."""
