"""The reasoning of a model that thinks before it speaks, separated from its words.

    <think> … </think> words          <|channel|>analysis<|message|> … <|end|> words (gpt-oss)

A model that was trained to reason does so whatever the chat template's `enable_thinking` says, and many templates open
the reasoning themselves: the reply then begins inside it, and only its closing tag is seen. The tags' names are an open
set (`<Thinking>`, `<inner_thoughts>`, `<seed:think>`): `find_tag` knows them by a rule, and OPENINGS and CLOSINGS have
the usual spellings, which may be tokens of a vocabulary.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

_NAMES = ("think", "thinking", "thought", "thoughts", "reasoning", "reflection", "analysis", "scratchpad")
_SPELLINGS = [*dict.fromkeys(spelled for name in _NAMES for spelled in (name, name.capitalize(), name.upper()))]

OPENINGS = (
    *(f"<{name}>" for name in _SPELLINGS),
    *("[THINK]", "<seed:think>", "◁think▷"),  # Magistral, Seed-OSS, Kimi
    *("<|START_THINKING|>", "<|begin_of_thought|>"),  # Command A, OpenThinker
    *("<|channel>", "<|channel|>analysis"),  # Gemma 4, gpt-oss
)
"""Tags that open reasoning, in their usual spellings."""
CLOSINGS = (
    *(f"</{name}>" for name in _SPELLINGS),
    *("[/THINK]", "</seed:think>", "◁/think▷"),
    *("<|END_THINKING|>", "<|end_of_thought|>", "<channel|>"),
)
"""Tags that close it. What closes a channel of gpt-oss is not among them: it closes all its messages."""

TAG_STARTS = "<[◁"
"""What a tag of reasoning may begin with."""

_NAME = (
    r"(?:[a-z]{1,24}[:_-]){0,2}"
    r"(?:think(?:ing)?|thoughts?|reasoning|reflections?|analysis|scratch[_-]?pad|monologue)"
    r"(?:[_-][a-z]{1,24})?"
)
_TAG = re.compile(
    rf"<\s?(?P<slash>/?)\s?(?P<name>{_NAME})(?:\s[^<>]{{0,80}})?(?<!/)>"
    rf"|<\|(?P<end>end_(?:of_)?|/)?(?:(?:start|begin)_(?:of_)?)?(?P<token>{_NAME})\|>"
    r"|(?-i:\[(?P<slash2>/?)(?P<name2>THINK(?:ING)?)\])"  # [think] is a stage direction
    r"|◁(?P<slash3>/?)(?P<name3>think(?:ing)?)▷"
    r"|<(?P<opens>\|)?(?P<gemma>channel)(?(opens)>|\|>)"
    r"|<\|(?P<gpt_oss>channel)\|>\s?(?:analysis|thinking|thoughts?|reasoning)",
    re.IGNORECASE,
)
_BEGUN = re.compile(
    r"(?:<\s?[/|]{0,2}\s?[a-z]{0,24}(?:[:_-][a-z]{0,24}){0,3}\|?"
    rf"|<\s?/?\s?{_NAME}\s[^<>]{{0,80}}"
    r"|<\|channel\|>\s?[a-z]{0,9}"
    r"|(?-i:\[/?T?H?I?N?K?I?N?G?)|◁/?[a-z]{0,8})\Z",
    re.IGNORECASE,
)
_MESSAGE_END = re.compile(r"<\|(?:end|return|call)\|>|(?=<\|(?:start|channel)\|>)", re.IGNORECASE)
"""What ends a channel of gpt-oss: its own end, or the beginning of another message or channel."""
_MESSAGE_END_BEGUN = re.compile(r"<(?:\|[a-z]{0,7}\|?)?\Z", re.IGNORECASE)

_GPT_OSS = "<|channel|>"


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag of reasoning in a text."""

    start: int
    end: int
    name: str
    """In lower case; an opening and its closing tag have the same."""
    opens: bool


def find_tag(text: str, start: int = 0) -> Tag | None:
    """Return the first tag of reasoning at or after `start`."""
    found = _TAG.search(text, start)
    if found is None:
        return None
    if found["gpt_oss"]:
        return Tag(*found.span(), _GPT_OSS, opens=True)
    if found["gemma"]:
        return Tag(*found.span(), "channel", opens=bool(found["opens"]))
    name = found["name"] or found["token"] or found["name2"] or found["name3"]
    closes = found["slash"] or found["end"] or found["slash2"] or found["slash3"]
    return Tag(*found.span(), name.lower(), opens=not closes)


def begun_tag(text: str) -> int:
    """Return how many characters at the end of `text` may begin a tag of reasoning."""
    found = _BEGUN.search(text)
    return len(text) - found.start() if found else 0


def ends_in_thought(header: str) -> bool:
    """Tell whether a reply after this header begins inside reasoning."""
    header = header.rstrip()[-200:]
    tag = None
    while (later := find_tag(header, tag.end if tag else 0)) is not None:
        tag = later
    return tag is not None and tag.opens and tag.end == len(header)


class ReasoningFilter:
    """Finds the reasoning in one reply."""

    def __init__(self, begun: bool = False) -> None:
        """With `begun` the reply begins inside reasoning."""
        self.inside = begun
        """Whether reasoning has begun and not ended."""
        self.any = False
        """Whether there was any reasoning."""
        self.closed_nothing = False
        """Whether a closing tag came before any opening tag."""
        self.words_behind = False
        """Whether words came after such a tag: the text before it was reasoning."""
        self._first: list[str] | None = [] if begun else None
        """The reasoning that the reply began in, until it has ended."""
        self._name = ""
        """Name of the tag that opened the reasoning; empty where the reply began in it."""
        self._inner: set[str] = set()
        """Names of other tags that were opened inside: `<thinking>Hm. <reflection>No.</reflection> So.</thinking>`."""

    @property
    def in_first(self) -> bool:
        """Whether the reply is still inside the reasoning that it began in."""
        return self._first is not None

    def tag(self, tag: str) -> None:
        """Note a tag among the words."""
        found = find_tag(tag)
        self.inside = found is not None and found.opens
        self._name, self._inner = found.name if found else "", set()
        self.closed_nothing = self.closed_nothing or not (self.inside or self.any)
        self.any = True

    def pass_over(self, text: str) -> str:
        """Drop reasoning; return the text after its end, or an end that may begin a tag."""
        end, kept = self._end(text)
        self.any = self.any or end is not None or bool(text[: len(text) - kept].strip())
        if end is not None:
            self.inside, self._first = False, None
            return text[end:]
        if self._first is not None:
            self._first.append(text[: len(text) - kept])
        return text[len(text) - kept :]

    def disown(self) -> str:
        """Return the text of the reasoning that the reply began in, which counts as words from now on."""
        passed, self._first = "".join(self._first or ()), None
        self.inside = self.any = False
        return passed

    def _end(self, text: str) -> tuple[int | None, int]:
        """Return where the reasoning ends; or None, and how many characters at the end may begin a tag."""
        if self._name == _GPT_OSS:
            end = _MESSAGE_END.search(text)
            begun = _MESSAGE_END_BEGUN.search(text)
            return (end.end(), 0) if end else (None, len(text) - begun.start() if begun else 0)
        place = 0
        while (tag := find_tag(text, place)) is not None:
            place = tag.end
            if tag.opens:
                if self._name and tag.name != self._name:
                    self._inner.add(tag.name)
            elif tag.name in self._inner:
                self._inner.remove(tag.name)
            else:
                return tag.end, 0
        return None, begun_tag(text[place:])


def begun_mark(text: str, marks: Sequence[str]) -> int:
    """Return how many characters at the end of `text` may begin one of these marks."""
    beginnings = _beginnings(tuple(marks))
    lengths = range(min(max(map(len, beginnings), default=0), len(text)), 0, -1)
    return next((length for length in lengths if text[-length:] in beginnings), 0)


@lru_cache(maxsize=64)
def _beginnings(marks: tuple[str, ...]) -> frozenset[str]:
    """Return every proper beginning of these marks."""
    return frozenset(mark[:length] for mark in marks for length in range(1, len(mark)))
