"""Recognition confidence: the expected share of correct words, from the decoder's scores.

With a model of the world's own words the decoder always finds some sentence of that world. A wrong one is improbable,
fits the sound badly, changes between the first pass and the last, and has many short words: a logistic regression of
five such features.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mythicd.text.spoken_words import word_errors

BELIEVABLE: Final = 0.5
"""Confidence from which the words are answered; below it the player is asked to repeat them."""

_WEIGHTS: Final = {"posterior": 0.246, "acoustic": 0.827, "language": 125.4, "change": -1.570, "length": 0.181}
"""Fitted to word accuracy on 370 utterances in five voices, clean and at 20 dB signal to noise: 240 questions of
expected wordings, 50 free ones, and 80 sentences about other worlds. Of those with at most a quarter of the words wrong
1.7 % get less than 0.5, of the sentences about other worlds 7.5 % get more; the area under the curve is 0.99. The
weights depend on the decoder settings in `decoder.py`: fit them again when those change.
"""
_BIAS: Final = 3.815
_FLOOR: Final = 1e-300
"""Least probability, so that its logarithm exists."""


@dataclass(frozen=True, slots=True)
class HeardWord:
    """A word of the final hypothesis, with the decoder's scores."""

    word: str
    frames: int
    """Length in feature frames of 10 ms."""
    acoustic: float
    """Probability of the sound given the word, relative to the best state in each frame (pocketsphinx's `ascore`)."""
    language: float
    """Probability of the word after those before it, on pocketsphinx's compressed scale (`lscore`)."""


def confidence(words: Sequence[HeardWord], posterior: float, first_pass: str) -> float:
    """Return the expected share of correct words, 0–1; 0 for no words.

    `posterior` is that of the whole hypothesis in the word lattice, `first_pass` the text before the later passes.
    """
    if not words:
        return 0.0
    frames = sum(word.frames for word in words)
    signs = {
        "posterior": _log(posterior) / len(words),
        "acoustic": sum(_log(word.acoustic) for word in words) / frames,
        "language": sum(_log(word.language) for word in words) / len(words),
        "change": word_errors(first_pass.split(), [word.word for word in words]) / len(words),
        "length": frames / len(words),
    }
    evidence = _BIAS + sum(_WEIGHTS[name] * value for name, value in signs.items())
    # Clamped so that exp does not overflow; beyond it the result is 0 or 1 anyway.
    return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, evidence))))


def _log(probability: float) -> float:
    return math.log(max(_FLOOR, probability))
