"""English: its numbers, plurals, abbreviations, sentences and words, each in one module. Another language would be
another folder with the same modules.
"""
