"""How complete recognised words look, whatever punctuation the recogniser has put at their end."""

from __future__ import annotations

import pytest

from mythicd.character.hear.current_speech import spoken_completeness


@pytest.mark.parametrize(
    ("words", "is_finished"),
    [
        ("Can you show me the way to the.", False),
        ("Can you show me the way to the", False),
        ("Where is.", False),
        ("I would like a mug of,", False),
        ("Can you show me the way to the market?", True),
        ("Stop!", True),
    ],
)
def test_punctuation_of_recogniser_is_left_out(words: str, is_finished: bool) -> None:
    assert spoken_completeness(words, frozenset()).looks_finished is is_finished
