"""Benchmarks: `python -m bench NAME [--quick]`. Each prints a table for people and, last, one line of JSON."""
