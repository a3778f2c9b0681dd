"""What stands at the beginning of a line or sentence: labels, narration, headings, rules, bullets."""

from __future__ import annotations

import re

from mythicd.dialogue.cleaning import markup
from mythicd.dialogue.cleaning.state import CleanerState
from mythicd.text.english.stage_directions import leads_narration


def begin_line(state: CleanerState, final: bool) -> bool:
    """Remove a speaker's label at the beginning of a line; return False when it is not decided yet."""
    blank = len(state.held) - len(state.held.lstrip(" \t}])>|~^\\"))
    if blank == len(state.held):
        return final and state.end_line_start()
    label = state.labels.match(state.held[blank:], final=final, within_line=not state.line_start)
    if label is None:
        return False
    kind, length = label
    if kind == "":
        return _narration(state, blank, final) if state.line_start else state.end_line_start()
    state.held = state.held[blank + length :]
    state.end_line_start()
    if kind == "other":
        if state.spoke:
            state.closed = True
        else:
            state.skips_line = True
    elif kind == "aside":
        state.skips_line = True
    return bool(state.held)


def _narration(state: CleanerState, blank: int, final: bool) -> bool:
    """Remove narration in the third person before quoted words: `She smiles. "Welcome in."`."""
    if bullet := re.match(r"[-•+][ \t]+|[-•+]$", state.held[blank:]):
        if bullet.end() + blank == len(state.held) and not final:
            return False
        state.held = state.held[blank + bullet.end() :]
        return True
    line = state.held[blank:]
    leads = leads_narration(line, state.own, final=final)
    if leads is None:
        return False
    if leads:
        # Held back until the sentence ends and something else follows: only a quotation mark shows what it is.
        led = re.match(r"[^\"“\n]*?[.!?…,:]+\s*(?=[^\s])|[^\"“\n]{240}", line)
        if led is None and not final and "\n" not in line:
            return False
        if led is not None and line[led.end() : led.end() + 1] in ('"', "“"):
            state.note_gesture(led[0])
            state.held = line[led.end() :]
            state.is_quoted = True
    return state.end_line_start()


def heading(state: CleanerState, final: bool) -> bool:
    """Remove a heading's marks; a heading of the prompt's own sections ends the reply."""
    text = state.held
    run = len(text) - len(text.lstrip("#"))
    if run == len(text) and not final:
        return False
    at_start = not state.tail or state.tail.endswith("\n") or run > 1
    if at_start and not final and "\n" not in text and len(text) < run + 16:
        return False
    if at_start and markup.SECTION_HEADING.match(text):
        state.closed = True
        return True
    state.held = text[run:]
    if run == 1 and state.held[:1].isdigit():  # "number #1"
        return state.say("#")
    return True


def dashes(state: CleanerState, final: bool) -> bool:
    text = state.held
    run = len(text) - len(text.lstrip("-"))
    if run == len(text) and not final:
        return False
    state.held = text[run:]
    at_start = not state.tail.strip(" ") or state.tail.rstrip(" ").endswith("\n")
    return state.say(" " if run > 2 or at_start else "—")


def tilde(state: CleanerState, final: bool) -> bool:
    text = state.held
    if len(text) == 1 and not final:
        return False
    if text.startswith("~~~") and (fence := markup.FENCE.match(text)):
        state.held = text[fence.end() :]
        return True
    state.held = text[1:]
    return state.say("~" if re.match(r"~\s?\d", text) else "")
