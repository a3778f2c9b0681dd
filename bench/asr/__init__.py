"""Benchmark: the faster-whisper recogniser on short windows, compared with faster-whisper's own transcription."""
