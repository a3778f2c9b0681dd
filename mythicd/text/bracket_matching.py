"""Matching brackets in text that may hold quoted strings."""

from __future__ import annotations

_PAIRS = {"[": "]", "{": "}", "(": ")"}


def closing_bracket(text: str, *, single_quotes: bool = False) -> int | None:
    """Return the index after the bracket that closes the one `text` begins with; None while it is open.

    Brackets within double quotes do not count, nor, with `single_quotes`, within those of code: an apostrophe is none.
    """
    stack: list[str] = []
    quote, escaped = "", False
    for index, character in enumerate(text):
        if quote:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == quote:
                quote = ""
        elif character == '"' or (single_quotes and character == "'" and text[index - 1 : index] in "=([,:{ "):
            quote = character
        elif character in _PAIRS:
            stack.append(_PAIRS[character])
        elif stack and character == stack[-1]:
            stack.pop()
            if not stack:
                return index + 1
    return None
