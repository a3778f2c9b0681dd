"""Placeholders of other programs: names are put in, comments taken out, and the rest reported."""

from __future__ import annotations

import time

import pytest

from mythicd.authoring.placeholders import resolve_placeholders


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{char}} greets {{user}}.", "Mira greets the player."),
        ("{{user}} waves. {{user}} leaves.", "The player waves. The player leaves."),
        ("<BOT> knows <USER>'s name; <bot> smiles.", "Mira knows the player's name; Mira smiles."),
        ("{{ CHAR }} and {{User}}", "Mira and the player"),
        ("{char} and {user}, but {other}", "Mira and the player, but {other}"),
        ("A{{// a note about {{char}} }}B", "AB"),
        ("A {{comment: seen}}B{{hidden_key:x}}", "A B"),
        ("{{original}}Stay calm.{{trim}}", "Stay calm."),
        ("One{{newline}}Two", "One\nTwo"),
        ("{{reverse:abc}}", "cba"),
        ("{{unclosed and {{char}}", "{{unclosed and Mira"),
        ("no braces } at { all", "no braces } at { all"),
        ('"{{user}}?" he asks.', '"the player?" he asks.'),
    ],
)
def test_resolved_text(text: str, expected: str) -> None:
    assert resolve_placeholders(text, "Mira").text == expected


@pytest.mark.parametrize(
    ("text", "expected", "first", "out"),
    [
        ("{{random:red,blue}}", "red", ("{{random:red,blue}}",), ()),
        ("{{pick::red::blue}}", "red", ("{{pick::red::blue}}",), ()),
        (r"{{random: a\, b, c}}", "a, b", (r"{{random: a\, b, c}}",), ()),
        ("at {{time}} on {{date}}", "at on", (), ("{{time}}", "{{date}}")),
        ("{{roll:d6}} {{roll:d6}}", "", (), ("{{roll:d6}}",)),
        ("{{getvar::mood}}", "", (), ("{{getvar::mood}}",)),
        ("{{random:{{user}},x}}", "The player", ("{{random:the player,x}}",), ()),
    ],
)
def test_values_that_change_are_reported(text: str, expected: str, first: tuple[str], out: tuple[str]) -> None:
    resolved = resolve_placeholders(text, "Mira")
    assert (resolved.text, resolved.first_of_several, resolved.taken_out) == (expected, first, out)


@pytest.mark.parametrize("text", ["{{" * 50_000, "}}" * 50_000, "\n" * 200_000, " " * 200_000, "{{char}} " * 20_000])
def test_odd_texts_take_no_time(text: str) -> None:
    begun = time.perf_counter()
    resolve_placeholders(text, "Mira")
    assert time.perf_counter() - begun < 5
