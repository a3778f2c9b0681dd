"""The reply cleaner: decides, while a reply streams, what of a model's text is speech.

    model text -> [cleaner] -> words that are shown, spoken, checked and remembered; gestures; the end of the reply

Stage directions, thoughts, other speakers' lines, machine syntax and markup are removed here and nowhere else. Text is
held back only while it is undecided: inside an open bracket, tag, star or label. docs/dialogue.md has the rules.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable

from mythicd.dialogue.cleaning import brackets, emphasis, lines, markup, tags
from mythicd.dialogue.cleaning.labels import SpeakerLabels
from mythicd.dialogue.cleaning.state import MAX_HELD, MAX_TAG, CleanerState, CleanPart

_SENTENCE_END = re.compile(r"(?<=[.!?…])['’)]*[ \t]+|^[ \t]+")
_SENTENCE_ENDED = re.compile(r"[.!?…][\"'”’)]*[ \t]+$")

_RULES: dict[str, Callable[[CleanerState, bool], bool]] = {
    "<": tags.tag,
    "[": brackets.bracket,
    "(": brackets.parenthesis,
    "{": brackets.brace,
    "`": brackets.backtick,
    "*": emphasis.star,
    "_": emphasis.underscore,
    '"': emphasis.quote,
    "“": emphasis.quote,
    "”": emphasis.quote,
    "#": lines.heading,
    "-": lines.dashes,
    "~": lines.tilde,
}
"""What decides a stretch that begins with a character: it returns False while more text is needed."""


class ReplyCleaner:
    """Cleans one reply. Feed it text as it comes; `closed` says that the rest of the reply is not the character's."""

    def __init__(self, name: str = "", others: Iterable[str] = (), tools: Collection[str] = ()) -> None:
        """`name` is the character's, `others` are names of this world's people, `tools` the names of its tools."""
        self._state = CleanerState(
            SpeakerLabels(name, others), name.split()[0] if name else "", tuple(tools), markup.tool_pattern(tools)
        )

    @property
    def closed(self) -> bool:
        """Whether the rest of the reply is not the character's."""
        return self._state.closed

    @property
    def gestured(self) -> bool:
        """Whether a stage direction or emoji was removed."""
        return self._state.gestured

    def add(self, text: str) -> list[CleanPart]:
        """Take the next piece of text, cut anywhere; return what of the reply is decided by now."""
        if self.closed:
            return []
        plain = text.replace("\r\n", "\n").replace("\r", "\n").translate(markup.LIKE_TAGS)
        self._state.held += markup.CONTROL.sub("", plain)
        return self._run(final=False)

    def settle(self) -> list[CleanPart]:
        """Something else follows here, such as a tool call: decide what is held back, as if no more text came."""
        return [] if self.closed else self._run(final=True)

    def finish(self) -> list[CleanPart]:
        """The reply is whole: return what was held back."""
        return [] if self.closed else self._run(final=True)

    def _run(self, *, final: bool) -> list[CleanPart]:
        state = self._state
        while state.held and not state.closed:
            before = (len(state.held), state.until, state.in_thought, state.line_start, state.sentence_start)
            if not _step(state, final=final):
                break
            after = (len(state.held), state.until, state.in_thought, state.line_start, state.sentence_start)
            assert after != before or state.closed, "each step decides something"
        if state.closed:
            state.held = ""
        parts, state.parts = state.parts, []
        return parts


def _step(state: CleanerState, *, final: bool) -> bool:
    """Decide the next stretch of text; return False when more is needed."""
    if state.until is not None:
        return _skip(state, final=final)
    if state.in_thought:
        return tags.skip_thought(state, final)
    if state.line_start or state.sentence_start:
        if not lines.begin_line(state, final):
            return False
    if not state.held or state.closed:
        return bool(state.held)
    if state.skips_line:
        _, newline, state.held = state.held.partition("\n")
        state.skips_line, state.line_start = not newline, bool(newline)
        return bool(newline)
    found = markup.SPECIAL.search(state.held)
    place = len(state.held) if found is None else found.start()
    if not final:
        face = markup.FACE_BEGUN.search(state.tail[-1:] + state.held)
        undecided = state.begun_tool() or (len(face[0]) if face is not None else int(state.held.endswith("-")))
        if undecided >= len(state.held):
            return False
        place = min(place, len(state.held) - undecided)
    if state.tool_pattern is not None and (call := state.tool_pattern.search(state.held)) and call.start() <= place:
        return brackets.tool_call(state, call, final)
    if state.in_quotes and state.held[0] == ",":
        if len(state.held) == 1 and not final:
            return False
        if state.held[1:2] in ('"', "”"):  # a full stop, if "she says" follows
            state.comma, state.held = True, state.held[1:]
            return True
    elif state.in_quotes and place > 1 and state.held[place - 1] == ",":
        place -= 1
    if place > 0:
        end = _SENTENCE_END.search(state.held, 0, place)
        place = place if end is None else end.end()
        state.say(state.held[:place])
        state.held = state.held[place:]
        state.sentence_start = bool(_SENTENCE_ENDED.search(state.tail))
        return True
    return _decide(state, final=final)


def _decide(state: CleanerState, *, final: bool) -> bool:
    """Decide what begins with a special character at the front of the held text."""
    character = state.held[0]
    if character == "\n":
        state.say("\n")
        state.held = state.held[1:]
        state.line_start = True
        return True
    rule = _RULES.get(character)
    if rule is None:
        state.held = state.held[1:]
        return state.say(" ")
    too_long = len(state.held) > MAX_HELD
    done = rule(state, final)
    if not done and too_long:
        state.held = state.held[1:]
        return True
    return done


def _skip(state: CleanerState, *, final: bool) -> bool:
    assert state.until is not None
    end = state.until.search(state.held)
    if end is not None:
        state.held, state.until = state.held[end.end() :], None
        return True
    keep = "" if final else state.held[-MAX_TAG:]
    shorter = len(keep) < len(state.held)
    state.held = keep
    return shorter and not final


def clean(text: str, name: str = "", others: Iterable[str] = (), tools: Collection[str] = ()) -> str:
    """Return the words of a whole reply, with single spaces."""
    cleaner = ReplyCleaner(name, others, tools)
    parts = [*cleaner.add(text), *cleaner.finish()]
    return tidy("".join(part if isinstance(part, str) else " " for part in parts))


def tidy(text: str) -> str:
    """Return text with single spaces, and none before punctuation."""
    return re.sub(r"\s+(?=[,.!?;:…](?:\s|$))", "", re.sub(r"\s+", " ", text)).strip()
