"""Addresses of the net: e-mail, web pages, domains, file names, hashtags and mentions, as a person reads them out."""

from __future__ import annotations

import re
from typing import Final

from mythicd.text.english.normalization.spelling import spell_whole, spell_year
from mythicd.text.english.normalization.tokens import SpokenForm, TokenView

_EMAIL = re.compile(r"(?:mailto:)?([\w.+%-]+)@([\w-]+(?:\.[\w-]+)+)")
_URL = re.compile(r"(?:(?:https?|ftp)://)?(?:www\.)?(?P<rest>[^?#]+)(?:[?#].*)?", re.DOTALL)
_DOMAIN = re.compile(
    r"(?:[a-zA-Z0-9-]+\.)+(?:com|org|net|io|gg|tv|edu|gov|dev|app|info|biz|uk|de|fr|eu|jp|example|test)"
    r"(?::\d+)?(?:/\S*)?|localhost:\d+\S*|[a-zA-Z][\w-]*(?:\.[\w-]+)+:\d{2,5}(?:/\S*)?"
)
_FILE = re.compile(
    r"[\w-]+\.(?:txt|pdf|exe|png|jpe?g|gif|wav|mp3|mp4|ogg|json|ya?ml|xml|html?|csv|md|py|js|cs|cpp|ini|log|zip|sav|dll)"
)
_HASHTAG = re.compile(r"#(\d*[^\W\d_]\w*(?:-\w+)*)")
_MENTION = re.compile(r"@([^\W\d_][\w.-]*)")
_PARTS = re.compile(r"\d+|[^\W\d_]+|.", re.DOTALL)
_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|[A-Z]|\d+|[^\W\d_]")

_SIGNS: Final = {
    ".": "dot",
    "/": "slash",
    "_": "underscore",
    "-": "dash",
    "@": "at",
    ":": "colon",
    "+": "plus",
    "~": "tilde",
    "%": "percent",
    "=": "equals",
    "&": "and",
    "#": "hash",
}


def read_address(view: TokenView) -> SpokenForm | None:
    """Read an e-mail address, a web address, a bare domain or a file name."""
    text = view.text
    if (email := _EMAIL.fullmatch(text)) is not None:
        return SpokenForm(f"{spell_address(email[1])} at {spell_address(email[2])}")
    if "://" in text or text.startswith("www."):
        url = _URL.fullmatch(text)
        rest = url["rest"].rstrip("/") if url is not None else text
        return SpokenForm(spell_address(rest) or "link")
    if ("." in text or ":" in text) and (_DOMAIN.fullmatch(text) or _FILE.fullmatch(text)):
        return SpokenForm(spell_address(re.split(r"[?#]", text)[0].rstrip("/")))
    return None


def spell_address(address: str) -> str:
    """Return an address in words: gull.example/menu -> gull dot example slash menu."""
    return " ".join(_spell_piece(part) for part in _PARTS.findall(address) if _spell_piece(part))


def _spell_piece(part: str) -> str:
    if part.isdecimal():
        return spell_whole(part)
    return part if part.isalpha() else _SIGNS.get(part, "")


def read_tag(view: TokenView) -> SpokenForm | None:
    """Read a hashtag or mention: `#LanternFestival` -> hashtag Lantern Festival, `@marla` -> marla."""
    if (tag := _HASHTAG.fullmatch(view.text)) is not None:
        return SpokenForm(f"hashtag {split_camel(tag[1])}")
    if (name := _MENTION.fullmatch(view.text)) is not None:
        return SpokenForm(split_camel(name[1]))
    return None


def split_camel(name: str) -> str:
    """Return the words of a name that is written as one: LanternFestival2 -> Lantern Festival two."""
    return " ".join(_spell_part(part) for part in _CAMEL.findall(name))


def _spell_part(part: str) -> str:
    if not part.isdecimal():
        return part
    return spell_year(int(part)) if re.fullmatch(r"1[5-9]\d\d|20\d\d", part) else spell_whole(part)
