"""Benchmark: many characters on one model, beside llama-server."""
