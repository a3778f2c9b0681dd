"""The language model on an OpenAI-compatible HTTP server."""
