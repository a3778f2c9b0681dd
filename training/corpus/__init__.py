"""The corpus generator: worlds, characters, questions and answers, made fresh from a seed."""
