"""Knowledge of language that several packages share; each language is a folder."""
