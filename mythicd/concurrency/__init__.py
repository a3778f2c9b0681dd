"""Concurrency: worker threads, child processes, background tasks, write queues; each has an owner and a bound."""
