"""Benchmarks of open microphones: echo, barge-in, pauses."""
