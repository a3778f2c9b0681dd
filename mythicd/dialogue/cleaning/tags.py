"""Tags and control tokens: `<thinking>`, `<color=red>`, `<|channel|>analysis`."""

from __future__ import annotations

import re

from mythicd.dialogue.cleaning import markup
from mythicd.dialogue.cleaning.state import MAX_TAG, CleanerState
from mythicd.text.english.stage_directions import is_stage_direction


def tag(state: CleanerState, final: bool) -> bool:
    text = state.held
    if text[:4] == "<!--":
        state.held = text[4:]
        state.drop_until("-->")
        return True
    token = markup.CONTROL_TOKEN.match(text)
    if token is not None and ("|" in token[0] or "｜" in token[0]):
        return control_token(state, token, final)
    tag = markup.TAG.match(text)
    if tag is None:
        if markup.TAG_BEGUN.match(text) and len(text) <= MAX_TAG:
            if final:
                state.held = ""
                return True
            return False
        if heart := re.match(r"</?3+", text):
            if heart.end() == len(text) and not final:
                return False
            state.gestured = True
            state.held = text[heart.end() :]
            return True
        begun = re.match(r"<(?:/\s*)?[|｜]?[^\W\d_][\w|｜.-]*|<", text)  # or "a < b"
        assert begun is not None
        state.held = text[begun.end() :]
        return state.say(" ")
    closing, name, ends = bool(tag[1]), re.sub(r"[\W_]", "", tag[2]).lower(), bool(tag[4])
    state.held = text[tag.end() :]
    if not closing and markup.KEY.fullmatch(tag[2]) and markup.KEY_CUE.search(state.tail):
        return state.say(tag[2])
    kind = markup.tag_kind(name)
    if kind != "format" or name in ("br", "p", "div", "hr", "li"):
        state.say(" ")
    if closing or ends or kind in ("format", "answer"):
        return True
    if kind == "dropped":
        state.drop_until(rf"<\s*/\s*{re.escape(tag[2])}\s*>")
        return True
    if is_stage_direction(name, state.own):
        state.note_gesture(name)
    return True


def control_token(state: CleanerState, token: re.Match[str], final: bool) -> bool:
    """Remove a chat template's token, and what belongs to it."""
    name = re.sub(r"[\W_▁]", "", token[2] or token[4] or "").lower()
    rest = state.held[token.end() :]
    if name in ("channel", "imstart", "start", "startheaderid", "turn", "startofturn"):
        word = re.match(r"\s*([\w ]*)", rest)
        assert word is not None
        if word.end() == len(rest) and not final and len(rest) < 24:
            return False
        said = word[1].strip().lower()
        opens = token[1] != "" or name != "channel"
        if name == "channel" and opens and said and not said.startswith("final"):
            state.in_thought = True
            state.held = rest[word.end() :]
            return True
        role = re.match(r"\s*(assistant|model|user|system|tool|player|human|final)\b:?\s*", rest, re.IGNORECASE)
        if role is not None:
            rest = rest[role.end() :]
            if role[1].lower() in ("user", "system", "tool", "player", "human"):
                state.closed = True
    state.held = rest
    return True


def skip_thought(state: CleanerState, final: bool) -> bool:
    """Skip a channel of thoughts (gpt-oss, Gemma 4) up to the token that ends it."""
    end = re.search(
        r"<[|｜]?/?(?:channel|end|return|start|im_end|turn|message|final)[|｜]?>", state.held, re.IGNORECASE
    )
    if end is None:
        keep = "" if final else state.held[-64:]
        shorter = len(keep) < len(state.held)
        state.held = keep
        return shorter and not final
    state.held = state.held[end.start() :]
    if re.match(r"<[|｜]message[|｜]>", state.held, re.IGNORECASE):
        state.held = state.held[len("<|message|>") :]
        return True
    state.in_thought = False
    return True
