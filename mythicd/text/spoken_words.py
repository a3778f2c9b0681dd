"""Words as they are spoken, in the language of the game, and the distance between two transcripts.

Callers take `spoken_words` and `comparable_words` from here, so that a second language is chosen in this place alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from mythicd.text.english.spoken_words import comparable_words as comparable_words
from mythicd.text.english.spoken_words import spoken_words as spoken_words


def word_errors(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Return the fewest insertions, deletions and substitutions of words between the two (Levenshtein distance)."""
    previous = list(range(len(hypothesis) + 1))
    for row, expected in enumerate(reference, 1):
        current = [row]
        for column, heard in enumerate(hypothesis, 1):
            current.append(
                min(previous[column] + 1, current[column - 1] + 1, previous[column - 1] + (expected != heard))
            )
        previous = current
    return previous[-1]


def word_error_rate(reference: str, hypothesis: str) -> float:
    """Return word errors per word of the reference, both made comparable; it may exceed 1.

    For an empty reference it is the number of words in the hypothesis.
    """
    expected, heard = comparable_words(reference), comparable_words(hypothesis)
    return word_errors(expected, heard) / max(1, len(expected))
