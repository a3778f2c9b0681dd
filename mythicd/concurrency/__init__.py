"""Threads, child processes and background tasks, each with an owner and a bound."""
