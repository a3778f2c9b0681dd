"""Descriptions in the styles that card authors use, as plain statements."""

from __future__ import annotations

import time

import pytest

from mythicd.authoring.prose import LONGEST_LINE, split_long, spoken_only, statements


def lines(text: str) -> list[str]:
    return [each.line for each in statements(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("She bakes bread. She sings at 4 a.m. every day.", ["She bakes bread.", "She sings at 4 a.m. every day."]),
        ("She knows Dr. Hale well.\nHe is kind.", ["She knows Dr. Hale well.", "He is kind."]),
        (
            '[Character("Mira")\n{\nSpecies("human")\nMind("kind" + "brave")\nJob("baker" + "singer")\n}]',
            ["Species: human", "Mind: kind, brave", "Job: baker, singer"],
        ),
        (
            "[Mira's personality: cheerful, loud; Mira's clothes= apron]",
            ["Mira's personality: cheerful, loud", "Mira's clothes: apron"],
        ),
        ("**Name:** Mira\n**Age:** 34", ["Age: 34"]),
        ("### Likes\n- bread\n- salt\n\n### Past\nShe was poor.", ["Likes: bread, salt", "She was poor."]),
        ("Likes:\n* bread\n* salt", ["Likes: bread, salt"]),
        ("Personality: Kind + Wary + Warm", ["Personality: Kind, Wary, Warm"]),
        ("<p>She is <b>tall</b>.</p><style>p { color: red }</style>", ["She is tall."]),
        ("![x](https://a.b/c.png)\nSee [her page](https://a.b).\n---\n***", ["See her page."]),
        ("*She* is `very` __brave__.", ["She is very brave."]),
        ("", []),
        ("\n\n---\n...\n", []),
    ],
)
def test_statements(text: str, expected: list[str]) -> None:
    assert lines(text) == expected


@pytest.mark.parametrize("text", ["word " * 400, "x" * 900, "A clause, " * 100, "One; two. " * 90, "é" * 700])
def test_long_lines_are_split_without_loss(text: str) -> None:
    parts = split_long(text.strip(), LONGEST_LINE)
    assert max(map(len, parts)) <= LONGEST_LINE
    kept = "".join("".join(parts).split()).replace(",", "").replace(";", "")
    assert kept == "".join(text.split()).replace(",", "").replace(";", "")


def test_dialogues_give_the_characters_words() -> None:
    text = 'the player: "What is it?"\nMira: *turns* "A mill."  *She nods.* "An old one."\nIt is *there*.'
    assert spoken_only(text, "Mira", "the player") == "A mill. An old one.\nIt is ."
    for plain in ("The mill: it is old.", "Mira: a baker of the town.", "Rules: none"):
        assert spoken_only(plain, "Mira", "the player") == plain


@pytest.mark.parametrize(
    "text",
    ["[" * 30_000, '("' * 20_000, "<a " * 30_000, "- " * 40_000, "a: " * 30_000, "*_`" * 30_000, "<!--" * 20_000],
)
def test_odd_texts_take_no_time(text: str) -> None:
    begun = time.perf_counter()
    statements(text)
    spoken_only(text, "Mira", "the player")
    assert time.perf_counter() - begun < 5
