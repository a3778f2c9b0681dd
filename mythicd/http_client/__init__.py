"""HTTP with OpenAI-compatible servers: connections, streams and errors."""
