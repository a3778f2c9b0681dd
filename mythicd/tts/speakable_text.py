"""Speakable text: what the voice says for a phrase, without stage directions and markup, with positions in the reply.

`spoken(phrase.text)` is the input of a Tts. Its word times come back with positions in that text; `source` maps them to
positions in the phrase, so that a reply can be cut at the last word that was heard.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from mythicd.tts.text_normalization import RULES

_STAGE_VERBS = frozenset(
    "beams blinks blushes bows chuckles clears coughs cries crosses eyes frowns gasps gestures giggles glances glares "
    "grabs grimaces grins growls grumbles grunts hesitates hums laughs leans lifts looks lowers mutters nods pauses "
    "points pours pulls raises rolls scoffs scowls scratches shakes shrugs sighs sings smiles smirks sniffs snorts "
    "stares steps sweeps taps tilts turns waves whispers whistles winces winks wipes yawns yells".split()
)

_LINK = re.compile(r"!?\[([^\[\]\n]*)\]\([^()\s]*\)")
_BLOCK_MARK = re.compile(r"(?m)^[ \t]*(?:#{1,6}[ \t]+|>[ \t]?|[-*+•][ \t]+)")
_BOLD = re.compile(r"\*{2,3}|_{2,3}|~~|`+")
_BRACKETED = re.compile(r"\([^()\n]*\)|\[[^\[\]\n]*\]|<[A-Za-z/!][^<>\n]*>")
_STARRED = re.compile(r"(?<![*\w])\*(?=[^\s*])([^*\n]*[^\s*])\*(?!\w)")
_UNDERLINED = re.compile(r"(?<!\w)_(?=\S)|(?<=\S)_(?!\w)")
_EMOTICON = re.compile(r"(?<!\S)(?:[:;=]-?[)(DPpOo/|\\*]+|<3+|\^_?\^|[oO]_[oO])(?!\S)")
_PICTURE = re.compile(
    "[\U0001f000-\U0001faff\U0001fb00-\U0001fbff\u2600-\u27bf\u2b00-\u2bff\u2300-\u23ff\u2190-\u21ff\u25a0-\u25ff"
    "\ufe00-\ufe0f\u200d\u20e3\U000e0000-\U000e007f]+"
)
_LEFTOVER = re.compile(r"[*_`~^|\\<>{}\[\]()#@=•]+|[\u200b-\u200f\u2028-\u202e\u2060\ufeff\ufffd]+")
_HAS_WORD = re.compile(r"[^\W_]")


@dataclass(frozen=True, slots=True)
class SpokenText:
    """A text that was made from another one, with the source of each of its characters."""

    text: str
    begins: tuple[int, ...]
    """For each character, where its source begins."""
    ends: tuple[int, ...]
    """For each character, where its source ends. Both sequences are monotonic."""

    @classmethod
    def of(cls, text: str) -> SpokenText:
        """Return `text` as its own source."""
        return cls(text, tuple(range(len(text))), tuple(range(1, len(text) + 1)))

    def source(self, start: int, end: int) -> tuple[int, int]:
        """Return the span of the source for characters `start` to `end`, which must not be an empty span."""
        return self.begins[start], self.ends[end - 1]

    def rewrite(self, pattern: re.Pattern[str], replace: Callable[[re.Match[str]], str | None]) -> SpokenText:
        """Replace each match; None leaves it. Each new character stands for the whole of what was replaced."""
        pieces: list[str] = []
        begins: list[int] = []
        ends: list[int] = []
        done = 0
        for match in pattern.finditer(self.text):
            new = replace(match)
            start, end = match.span()
            if new is None or start == end:
                continue
            pieces += [self.text[done:start], new]
            begins += [*self.begins[done:start], *[self.begins[start]] * len(new)]
            ends += [*self.ends[done:start], *[self.ends[end - 1]] * len(new)]
            done = end
        if not done:
            return self
        return SpokenText(
            "".join([*pieces, self.text[done:]]), (*begins, *self.begins[done:]), (*ends, *self.ends[done:])
        )


def spoken(text: str) -> SpokenText:
    """Return what the voice says for `text`; it may be empty."""
    said = SpokenText.of(text)
    said = said.rewrite(_LINK, lambda match: match.group(1))
    said = said.rewrite(_BLOCK_MARK, lambda match: "")
    said = said.rewrite(_EMOTICON, lambda match: "")
    said = said.rewrite(_BOLD, lambda match: "")
    said = said.rewrite(_STARRED, _starred)
    while (without := said.rewrite(_BRACKETED, lambda match: " ")) is not said:  # repeated for nested brackets
        said = without
    said = said.rewrite(_UNDERLINED, lambda match: "")
    said = said.rewrite(_PICTURE, lambda match: " ")
    for pattern, replace in RULES:
        said = said.rewrite(pattern, replace)
    said = said.rewrite(_LEFTOVER, lambda match: " ")
    return said if _HAS_WORD.search(said.text) else SpokenText("", (), ())


def _starred(match: re.Match[str]) -> str:
    """Tell *smiles* from an *emphasised* word: return what of it is spoken."""
    inside = match.group(1)
    before = match.string[: match.start()].rstrip(" \t")
    after = match.string[match.end() :]
    words = inside.split()
    if words[0].lower().strip(".,") in _STAGE_VERBS:
        return " "
    opens = not before or before[-1] in '.!?…\n"“”'
    goes_on = bool(re.match(r"[\s,]*[a-z]", after)) or bool(re.match(r"[.!?,;:]", after))
    if opens:
        # "*Never* go there." against "*A long silence.* Well..."
        return inside if len(words) == 1 and (goes_on or inside[0].isupper()) else " "
    return inside if len(words) <= 3 else " "
