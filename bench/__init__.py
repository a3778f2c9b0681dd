"""Benchmarks: `python -m bench NAME [--quick]`. Each prints a table and, last, one line of JSON."""
