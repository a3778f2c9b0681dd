"""Text to speech: phrases, spoken text, voice engines, and timed audio with mouth shapes."""
