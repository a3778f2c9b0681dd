"""The starter language model: corpus generator, tokenizer, training, GGUF export and evaluation."""
