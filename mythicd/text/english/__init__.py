"""English: its numbers, plurals, abbreviations, sentences and words, and text normalisation (`normalization/`). Another
language would be another folder with the same modules.
"""
