"""Brackets, braces, code fences and calls among the words: `[laughs]`, `(smiles)`, `{"name": …}`, `give_item(…)`."""

from __future__ import annotations

import re

from mythicd.dialogue.cleaning import markup, tags
from mythicd.dialogue.cleaning.state import MAX_HELD, MAX_TAG, CleanerState, beginning, is_enough
from mythicd.text.bracket_matching import closing_bracket
from mythicd.text.english.stage_directions import is_stage_direction


def bracket(state: CleanerState, final: bool) -> bool:
    text = state.held
    token = markup.CONTROL_TOKEN.match(text)
    if token is not None and token[4]:
        return tags.control_token(state, token, final)
    if bbcode := markup.BBCODE.match(text):
        state.held = text[bbcode.end() :]
        return True
    end = closing_bracket(text)
    if end is None:
        if not final:
            return False
        # A direction or machine syntax that was never closed; anything else is a stray bracket among the words.
        is_machine = re.search(r"[({=_\"|:]|^\[(?:/|[A-Z]{2})", text)
        is_speech = not is_machine and not is_stage_direction(beginning(text[1:]), state.own)
        state.held = text[1:] if is_speech else ""
        return True
    inside, rest = text[1 : end - 1], text[end:]
    if not rest and not final:
        return False
    if rest.startswith("("):
        link = closing_bracket(rest)
        if link is None and not final and len(rest) < MAX_TAG:
            return False
        if re.match(r"\((?:\w+:|/|#|[\w.-]+\.\w{2,})", rest):
            state.held = inside + (rest[link:] if link is not None else "")
            return True
    state.held = rest
    if re.fullmatch(r"/?(?:THINK|think)", inside):
        if not inside.startswith("/"):
            state.drop_until(r"\[/think\]")
    elif re.fullmatch(r"[A-Z]+(?:_[A-Z]+)+", inside) and rest[:1] in ("[", "{"):
        json_end = closing_bracket(rest)
        if json_end is None and not final:
            state.held = text
            return False
        state.held = rest[json_end:] if json_end is not None else ""
    elif markup.KEY.fullmatch(inside) and markup.KEY_CUE.search(state.tail):
        state.say(inside)
    else:
        state.say(" ")
        if not re.search(r"[(=_{]", inside) and is_stage_direction(inside, state.own):
            state.note_gesture(inside)
    return True


def parenthesis(state: CleanerState, final: bool) -> bool:
    text = state.held
    if face := re.match(r"\((?:[^\w\s()]|[oOuUTQ]){2,7}\)", text):  # (^_^)
        state.held = text[face.end() :]
        return True
    end = text.find(")")
    inside = text[1:] if end < 0 else text[1:end]
    if end < 0 and not final and not is_enough(inside):
        return False
    if is_stage_direction(beginning(inside), state.own):
        state.say(" ")
        state.note_gesture(inside)
        if end < 0:
            state.held = inside
            state.drop_until(r"\)|\Z" if final else r"\)")
        else:
            state.held = text[end + 1 :]
        return True
    state.held = text[1:]
    return state.say("(")


def brace(state: CleanerState, final: bool) -> bool:
    text = state.held
    if macro := re.match(r"\{\{([^{}\n]{0,60})\}\}", text):
        name = macro[1].strip().lower()
        said = "friend" if name == "user" else state.name if name == "char" else ""
        state.held = text[macro.end() :]
        return state.say(said)
    if not final and (text in ("{", "{{") or re.fullmatch(r"\{\{?[^{}\n]{0,60}\}?", text)):
        return False
    if markup.JSON_BEGINS.match(text):
        end = closing_bracket(text)
        if end is None and not final and len(text) <= MAX_HELD:
            return False
        state.held = text[end:] if end is not None else ""
        return True
    state.held = text[1:]
    return True


def backtick(state: CleanerState, final: bool) -> bool:
    text = state.held
    run = len(text) - len(text.lstrip("`"))
    if run < 3:
        if run == len(text) and not final:
            return False
        state.held = text[run:]
        return True
    fence = markup.FENCE.match(text)
    assert fence is not None
    content = text[fence.end() :].lstrip()
    if not content and not final:
        return False
    is_code = bool(fence[1] and "\n" in text[fence.end() : fence.end() + 2]) or content[:1] in ("{", "[", "<")
    state.held = text[fence.end() - (0 if is_code else len(fence[1])) :]
    if is_code:
        state.drop_until(r"`{3,}")
    return True


def tool_call(state: CleanerState, call: re.Match[str], final: bool) -> bool:
    """Remove a tool's name that stands among the words like a call, with its arguments."""
    if call.start() > 0:
        state.say(state.held[: call.start()])
        state.held = state.held[call.start() :]
        return True
    rest = state.held[call.end() :]
    if not rest and not final:
        return False
    lead = len(rest) - len(rest.lstrip(" :="))
    if rest[lead : lead + 1] in ("(", "{", "["):
        end = closing_bracket(rest[lead:])
        if end is None and not final and len(rest) <= MAX_HELD:
            return False
        state.held = rest[lead + end :] if end is not None else ""
        return True
    if not rest.strip(" ") and not final:
        return False
    alone = state.opens() and re.match(r" *(?:$|[.!?\n])", rest)
    if "_" not in call[0] or not alone:
        state.say(call[0].replace("_", " "))
    state.held = rest
    return True
