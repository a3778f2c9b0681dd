"""Speech synthesis on an OpenAI-compatible HTTP server."""
