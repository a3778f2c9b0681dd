"""What is measured: turn timelines, counters, Prometheus metrics."""
