"""Markup and machine syntax in replies: tags by what becomes of their content, control tokens, brackets, fences."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Literal

TagKind = Literal["format", "answer", "dropped", "other"]
"""What becomes of the content of a pair of tags: it is spoken (`format`, `answer`, `other`) or removed (`dropped`)."""

LIKE_TAGS = str.maketrans("◁▷＜＞", "<><>")
SPECIAL = re.compile(r"[<\[({*_`\"“”\n#\\|｜}\]>~^]|--")
"""What may begin something that is not speech."""

_FORMATS = frozenset(
    "b i u em strong s sup sub small big mark span font color colour size style link nobr p br hr div center q cite "
    "sprite align alpha cspace indent lineheight lowercase uppercase smallcaps allcaps margin material mspace noparse "
    "page pos quad rotate space strikethrough underline voffset width gradient h1 h2 h3 ul ol li bold italic".split()
)
"""Tags of HTML, BBCode and TextMeshPro around words that are spoken."""
_ANSWERS = re.compile(
    r"^(?:final)?(?:answer|response|reply|speech|speak|say|says|dialog(?:ue)?|output|message|text|quote)$"
)
"""Tags around a reply that is spoken."""
_DROPPED = re.compile(
    r"think|thought|reason|analy[sz]|reflect|plan|scratch|monologue|internal|inner|meta|ooc|deliberat|^cot$|chain|"
    r"rational|brainstorm|draft|critique|observ|memo|^notes?$|system|instruct|prompt|context|state|mood|emoti|emote|"
    r"gesture|^actions?$|anim|express|narrat|scene|stage|direction|tool|function|call|invoke|param|json|xml|yaml|code|"
    r"script|comment|feeling|tone|^im?_?(?:start|end)$|^script$|^style$|motion|behaviou?r|pose|sfx|sound|music"
)
"""Tags around what is not spoken."""
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff\ufffd]+")
PICTURE = re.compile(
    "(?:[\U0001f000-\U0001faff\U0001fb00-\U0001fbff\u2600-\u27bf\u2b00-\u2bff\u2300-\u23ff\u25a0-\u25ff"
    "\ufe00-\ufe0f\u200d\u20e3\U000e0000-\U000e007f]|[\u2190-\u21ff])+"
)
EMOTICON = re.compile(r"(?<!\S)(?:[:;=][-']?[)(DPpOo/|\\]+|\^_?\^|[oO]_[oO]|xD|XD)(?=$|[\s.,!?])")
TAG = re.compile(r"<(/\s*|)([^\W\d_][\w.:-]*)([^<>]*?)(/?)\s*>", re.DOTALL)
CONTROL_TOKEN = re.compile(r"<(/?[|｜]/?|/?)([\w▁ .:/-]{0,48}?)([|｜]?)>|\[[|｜]([^\[\]|｜\n]{1,48})[|｜]\]")
TAG_BEGUN = re.compile(r"<(?:/\s*)?[|｜]?/?[^\W\d_<>][^<>]*$|<(?:[|｜]/?|[/!?])?$|</\s*$", re.DOTALL)
SECTION_HEADING = re.compile(
    r"#{1,6}\s*(?:persona|lore|recent memory|last scene|scene|player|user|system|instructions?|rules)\b", re.I
)
KEY = re.compile(
    r"[A-Za-z0-9]|F\d\d?|esc(?:ape)?|enter|return|shift|ctrl|control|alt|tab|space|del(?:ete)?|up|down|left|right|[LR][BT1-3]?|[LR]MB",
    re.I,
)
KEY_CUE = re.compile(
    r"(?:press|hit|hold|tap|push|use|key|button|type|click)\s*(?:the\s+)?(?:[\w\]\[]+\s*(?:\+|or|and|then)\s*)*$", re.I
)
BBCODE = re.compile(r"\[/?(?:b|i|u|s|url|quote|color|size|center|spoiler)(?:=[^\]\n]*)?\]", re.I)
JSON_BEGINS = re.compile(r"\{\s*(?:$|[\"'}])|\[\s*(?:$|[{\[\"])")
PAIR = re.compile(r"[\"“](\w{1,40})[\"”]\s*:\s*(?:[\"“][^\"”\n]*[\"”]?|-?\d[\d.]*|true\b|false\b|null\b|[\[{])?\s*,?")
PAIR_BEGUN = re.compile(r"[\"“]\w{0,40}(?:[\"”]\s*(?::\s*(?:[\"“][^\"”\n]*|[\w.+-]*)?)?)?$")
FENCE = re.compile(r"(?:`{3,}|~{3,})[ \t]*([\w+-]*)")
FACE_BEGUN = re.compile(r"(?:(?<=\s)|^)(?:[:;=][-']?[)(DPpOo/|\\]*|\^_?\^?|[oO](?:_[oO]?)?|[xX]D?)$")


def tag_kind(name: str) -> TagKind:
    """Return what becomes of the content of tags with this name, in lower case and without signs."""
    if name in _FORMATS:
        return "format"
    if _ANSWERS.match(name):
        return "answer"
    return "dropped" if _DROPPED.search(name) else "other"


def tool_pattern(tools: Collection[str]) -> re.Pattern[str] | None:
    if not tools:
        return None
    names = "|".join(re.escape(tool) for tool in sorted(tools, key=len, reverse=True))
    return re.compile(rf"(?<![\w]){'(?:'}{names})(?![\w])")
