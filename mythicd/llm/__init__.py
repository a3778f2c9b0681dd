"""The language model: llama.cpp in this process, or an OpenAI-compatible server."""
