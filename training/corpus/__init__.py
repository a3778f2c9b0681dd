"""The corpus generator: worlds, characters, questions and answers, generated from a seed."""
