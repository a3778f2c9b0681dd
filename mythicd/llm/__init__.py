"""The language model: who runs next, what stays in the KV cache, and the one loop that drives it."""
