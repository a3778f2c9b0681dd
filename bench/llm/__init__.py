"""Benchmark: many characters on one model, compared with llama-server."""
