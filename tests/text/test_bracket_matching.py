"""Matching brackets: nesting, strings, escapes and apostrophes."""

from __future__ import annotations

import pytest

from mythicd.text.bracket_matching import closing_bracket


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("[a] b", "[a]"),
        ("{a [b (c)] d} e", "{a [b (c)] d}"),
        ('{"a": "}"} b', '{"a": "}"}'),
        (r'{"a": "\"}"} b', r'{"a": "\"}"}'),
        ("[Marla's tired] b", "[Marla's tired]"),
        ("(a] b) c", "(a] b)"),
        ("[a", None),
        ('{"a": "b}', None),
        ("", None),
    ],
)
def test_closing_bracket(text: str, inside: str | None) -> None:
    end = closing_bracket(text)
    assert (None if end is None else text[:end]) == inside


def test_single_quotes_are_strings_in_code() -> None:
    code = "show(place=')', who='Hale\\'s') b"
    assert closing_bracket(code[4:], single_quotes=True) == len("(place=')', who='Hale\\'s')")
    assert closing_bracket("[Marla's tired]", single_quotes=True) == len("[Marla's tired]")
