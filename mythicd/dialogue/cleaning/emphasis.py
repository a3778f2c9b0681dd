"""Stars, underscores and quotation marks: emphasis, stage directions, narration around quoted words."""

from __future__ import annotations

import re

from mythicd.dialogue.cleaning import markup
from mythicd.dialogue.cleaning.state import EMPHASIS_WORDS, CleanerState
from mythicd.text.english.stage_directions import is_stage_direction, says_line


def star(state: CleanerState, final: bool) -> bool:
    text = state.held
    run = len(text) - len(text.lstrip("*"))
    if run == len(text) and not final:
        return False
    after = text[run : run + 1]
    if run == 1 and re.search(r"\d\s*$", state.tail) and not text[1:].strip(" ") and not final:
        return False
    if run == 1 and re.search(r"\d\s*$", state.tail) and re.match(r"\*\s*\d", text):
        state.held = text[1:]
        return state.say("×")
    if not after or after.isspace() or (run == 1 and re.search(r"\w$", state.tail)):
        state.held = text[run:]
        if after == "\n" or not after:
            return True
        return True
    close = re.search(rf"(?<=\S)\*{{{run}}}(?!\*)", text[run:])
    if close is None:
        return _open_star(state, text, run, final)
    inside, rest = text[run : run + close.start()], text[run + close.end() :]
    if not rest and not final:
        return False
    state.held = rest
    if _is_narration(state, inside, rest, bold=run > 1):
        state.say(" ")
        state.note_gesture(inside)
        return True
    state.held = re.sub(r"[*_]", "", inside) + rest
    return _pass_on(state, inside)


def _pass_on(state: CleanerState, inside: str) -> bool:
    """Pass on emphasised words at once: they are decided."""
    words = re.sub(r"[*_]", "", inside)
    if not markup.SPECIAL.search(words):
        state.say(words)
        state.held = state.held[len(words) :]
    return True


def _open_star(state: CleanerState, text: str, run: int, final: bool) -> bool:
    """Decide about a star whose end is not there."""
    inside = text[run:]
    words = inside.split()
    if is_stage_direction(inside, state.own) and (len(words) > 1 or final):
        state.note_gesture(inside)
        state.held = inside
        state.drop_until(r"\*+|\Z" if final else r"\*+")
        return True
    if not final and len(words) <= EMPHASIS_WORDS + 2 and "\n\n" not in inside:
        return False
    if (
        not final
        and run == 1
        and state.opens()
        and len(inside) < 600
        and not re.search(r"\b(?:I|you|your|we|me|my)\b", inside)
    ):
        return False  # narration without a verb that is known: "*A long silence. The fire crackles"
    if (
        final
        and run == 1
        and state.opens()
        and len(words) > 3
        and not re.search(r"\b(?:I|you|your|we|me|my)\b|\?", inside)
    ):
        state.note_gesture(inside)
        state.held = ""
        return True
    state.held = inside
    return True


def _is_narration(state: CleanerState, inside: str, rest: str, *, bold: bool) -> bool:
    """Tell `*smiles*` from an `*emphasised*` word."""
    words = inside.split()
    if is_stage_direction(inside, state.own):
        return not bold or len(words) < 5 or state.opens()
    if bold:
        return False
    goes_on = bool(re.match(r"[\s,]*[a-z]|[.!?,;:]", rest))
    if state.opens():
        # "*Never* go there." against "*A long silence.* Well..."
        return not (len(words) == 1 and (goes_on or inside[:1].isupper()))
    return len(words) > EMPHASIS_WORDS


def underscore(state: CleanerState, final: bool) -> bool:
    text = state.held
    run = len(text) - len(text.lstrip("_"))
    if run == len(text) and not final:
        return False
    inner = bool(re.search(r"\w$", state.tail)) and text[run : run + 1].isalnum()
    close = re.match(r"_+([^_\n]{1,200}?)_+(?!\w)", text)
    if not inner and close is None and not final and "\n" not in text and len(text.split()) <= EMPHASIS_WORDS + 2:
        return False
    if not inner and close is not None and is_stage_direction(close[1], state.own):
        state.held = text[close.end() :]
        state.note_gesture(close[1])
        return True
    state.held = text[run:]
    if inner:
        state.say(" ")
    return True


def quote(state: CleanerState, final: bool) -> bool:
    text = state.held
    if not state.in_quotes and (pair := markup.PAIR.match(text)):  # "item": "ale", left over from JSON
        if pair.end() == len(text) and not final:
            return False
        state.held = text[pair.end() :]
        return True
    if not final and markup.PAIR_BEGUN.match(text) and len(text) < 90 and not (state.in_quotes and len(text) > 1):
        return False
    if not state.spoke and not state.in_quotes and text[0] in '"“':
        state.is_quoted = True
    if not state.is_quoted:
        state.held = text[1:]
        return state.say(text[0])
    if not state.in_quotes:
        state.in_quotes = True
        state.held = text[1:]
        return True
    rest = text[1:]
    outside = re.match(r"[^\"“”\n]*", rest)
    assert outside is not None
    undecided = outside.end() == len(rest) and not final
    if undecided and (not outside[0].strip() or says_line(outside[0], state.own, begun=True)) and len(rest) < 240:
        return False
    state.in_quotes = False
    narrates = says_line(outside[0], state.own)
    if state.comma:
        state.say("." if narrates else ",")
        state.comma = False
    if narrates:
        state.note_gesture(outside[0])
        rest = rest[outside.end() :]
    state.held = rest
    return state.say(" ")
