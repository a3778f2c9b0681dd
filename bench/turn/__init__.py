"""Benchmark: end of utterance to first audible reply, compared with Pipecat and the lower bound."""
