"""Benchmark: the Piper engine in pieces, compared with Piper's own synthesis of whole sentences."""
