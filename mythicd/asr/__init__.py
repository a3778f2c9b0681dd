"""Turning speech into words.

`pocketsphinx.py` and `whisper.py` are engines behind the Protocol `Asr`; `transcript.py` makes stable partials of their
hypotheses; the rest builds what the starter recogniser expects to hear, in this order: `wordings.py` (what players say)
→ `patterns.py` (its notation) → `corpus.py` (× the names) → `language.py` (a trigram model) → `worldmodel.py` (as
files); beside it `words.py` (text as it is spoken), `pronunciation.py` and `lexicon.py` (how words sound), and
`confidence.py` (how far to believe what was heard).
"""
