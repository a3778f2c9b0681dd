"""Turning speech into words.

`pocketsphinx.py` and `whisper.py` are engines behind the Protocol `Asr`; `transcript.py` makes stable partials of their
hypotheses; the rest builds what the starter recogniser expects to hear, in this order: `wordings.py` (what players say)
→ `patterns.py` (its notation) → `corpus.py` (× the world's names) → `language.py` (a trigram model), and beside it
`words.py` (text as it is spoken), `pronunciation.py` and `lexicon.py` (how words sound), `confidence.py`.
"""
