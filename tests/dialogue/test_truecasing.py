"""Capitals come back, and nothing else changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mythicd.dialogue.truecasing import NameCasing, Truecaser, capitalised

TEXTS = (
    "The Gilded Gull is open from sunset. Ask at the Gilded Gull, friend.",
    "The old chapel stands on the hill, and a gull sits on it.",
    "We hold the Festival of Lights at the harbor, and the lights are pretty.",
    "The fishers told Captain Hale of the Sea Lark. The sea is cold.",
    "Nobody but Marla and I know McDowell of Lanternport.",
    "I'd say it is Marla's.",
)
NAMES = NameCasing(TEXTS, ("Old Tobin", "the Silver Maiden", "Pip's stall"))


def recased(text: str, names: NameCasing = NAMES) -> str:
    recaser = Truecaser(names)
    return recaser.add(text) + recaser.finish()


@pytest.mark.parametrize(
    ("plain", "written"),
    [
        ("the gilded gull is open.", "The Gilded Gull is open."),
        ("a gull sat on the gilded gull", "A gull sat on the Gilded Gull"),
        ("well, i don't know. i'm sorry, and i'd help.", "Well, I don't know. I'm sorry, and I'd help."),
        ("old tobin sits by the old chapel", "Old Tobin sits by the old chapel"),
        ("ask old tobin. he is old.", "Ask Old Tobin. He is old."),
        (
            "come to the festival of lights! the lights are pretty",
            "Come to the Festival of Lights! The lights are pretty",
        ),
        ("the sea lark sails the sea", "The Sea Lark sails the sea"),
        ("marla's cat, marla", "Marla's cat, Marla"),
        ("old tobin's tea", "Old Tobin's tea"),
        ("go to lanternport", "Go to Lanternport"),
        ("mcdowell knows. he said so", "McDowell knows. He said so"),
        ("pip knows", "Pip knows"),
        ("ask pip", "Ask Pip"),
        ("hm... maybe not? no.", "Hm... maybe not? No."),
        ('"hello," he said. "it is late."', '"Hello," he said. "It is late."'),
        ("it costs 3.50 or so. yes", "It costs 3.50 or so. Yes"),
        ("first line\nsecond line", "First line\nSecond line"),
        ("2 coins, friend", "2 coins, friend"),
        ("don’t. i’m off", "Don’t. I’m off"),
        ("the silver maiden is a ship", "The Silver Maiden is a ship"),
        ("ßtrange. ﬁne", "ßtrange. ﬁne"),
        ("", ""),
    ],
)
def test_written(plain: str, written: str) -> None:
    assert recased(plain) == written


@pytest.mark.parametrize("text", ["Already Written, i know. so there", "The gilded gull.", "OK then. marla"])
def test_what_has_capitals_passes(text: str) -> None:
    assert recased(text) == text


def test_from_its_first_capital_on_the_model_is_left_alone() -> None:
    assert recased("ask Marla. the gilded gull") == "Ask Marla. the gilded gull"


def test_a_word_that_only_begins_sentences_is_no_name() -> None:
    assert recased("the guards, guards and wolves", NameCasing(["Guards walk here. Wolves howl."])) == (
        "The guards, guards and wolves"
    )


def test_only_the_unfinished_word_waits() -> None:
    recaser = Truecaser(NAMES)
    assert recaser.add("the gil") == "The "
    assert recaser.add("bert") == ""
    assert recaser.add(" gu") == "gilbert "
    assert recaser.add("ll, i") == "gull, "
    assert recaser.add("'") == ""
    assert recaser.add("m") == ""
    assert recaser.add(" here.") == "I'm here."
    assert recaser.finish() == ""


def test_the_beginning_of_a_name_waits_for_its_next_word() -> None:
    recaser = Truecaser(NAMES)
    assert recaser.add("an old ") == "An "
    assert recaser.add("man, old ") == "old man, "
    assert recaser.add("tobin ") == "Old Tobin "
    assert recaser.add("is old, ") == "is old, ", "a comma decides too"


WORDS = st.sampled_from(
    [
        *"the gilded gull old tobin i i'm festival of lights sea lark marla's chapel".split(),
        *". ! ? … , \" ' ’ ( ) * - 3.5 ß ŉ Marla".split(),
        "\n",
    ]
)
TEXT = st.one_of(
    st.text(max_size=60),
    st.lists(WORDS, max_size=14).map(" ".join),
    st.lists(WORDS, max_size=14).map("".join),
)


@given(TEXT, st.lists(st.integers(0, 60), max_size=6))
def test_chunks_do_not_matter_and_length_is_kept(text: str, cuts: list[int]) -> None:
    whole = recased(text)
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    recaser = Truecaser(NAMES)
    parts = [recaser.add(text[a:b]) for a, b in zip(edges, edges[1:], strict=False)]
    assert "".join(parts) + recaser.finish() == whole
    assert len(whole) == len(text)
    for before, after in zip(text, whole, strict=True):
        assert before == after or before.upper() == after or before == after.lower()


@given(TEXT)
def test_recasing_twice_changes_nothing_at_the_start(text: str) -> None:
    once = recased(text)
    first = next((c for c in once if c.isalpha()), "")
    if capitalised(first):
        assert recased(once) == once


@given(st.lists(st.text(max_size=40), max_size=4), st.lists(st.text(max_size=20), max_size=3), TEXT)
def test_any_texts_can_be_learnt_from(texts: list[str], names: list[str], reply: str) -> None:
    assert len(recased(reply.lower(), NameCasing(texts, names))) == len(reply.lower())
