"""The starter recogniser: pocketsphinx with a language model of the world's own words.

The model is built in this order: `player_phrases` (what players say) -> `phrase_patterns` (their notation) ->
`ngram_counts` (with the world's names) -> `ngram_model` (trigrams) -> `model_cache` (files). `lexicon` and
`pronunciation` give the phones of a word, `confidence` the probability that a hypothesis is right.
"""
