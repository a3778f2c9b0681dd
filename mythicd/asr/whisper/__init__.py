"""The faster-whisper recogniser."""
