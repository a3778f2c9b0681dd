"""The in-process language model: many characters on one llama.cpp context."""
