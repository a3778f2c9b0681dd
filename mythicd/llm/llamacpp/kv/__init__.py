"""The KV cache: which sequence holds which tokens, and what is evicted or parked."""
