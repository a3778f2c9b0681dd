"""Benchmark: end of utterance to first audible reply, beside Pipecat and the lower bound."""
