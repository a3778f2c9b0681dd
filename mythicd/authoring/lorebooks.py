"""Lorebooks (world info): of character cards, and as files of SillyTavern, Chub, RisuAI, Agnai and NovelAI.

The programs call the same things by several names: content, entry or text; keys, key or keywords. Most of their
settings say when an entry is put into a prompt. Here memory search decides that, so they have no place: they are
reported, once for each setting.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mythicd.authoring.sources import (
    MOST_ENTRIES,
    MOST_LETTERS,
    LeftOut,
    SourceBook,
    SourceEntry,
    shortened,
    text_of,
    texts_of,
)
from mythicd.config.yaml_reader import FileProblem

_SEARCH = "memory search decides what is looked up"
_WHY = {
    "secondary_keys": f"an entry has one list of tags: {_SEARCH}",
    "constant": "no lore is always in the prompt; put what must be there into `rules` of world.yaml",
    "probability": f"nothing is left to chance: {_SEARCH}",
    "position": "the prompt's layout is fixed",
    "depth": "the prompt's layout is fixed",
    "role": "the prompt's layout is fixed",
    "priority": f"{_SEARCH} and ranks the lines",
    "group": f"{_SEARCH}",
    "scan_depth": f"{_SEARCH}",
    "recursion": f"{_SEARCH}",
    "case_sensitive": f"{_SEARCH}",
    "timing": "what is found does not depend on how many turns have passed",
    "character filter": "`zone` says who knows an entry",
    "decorators": f"the lines that begin with @@ say when an entry is used: {_SEARCH}",
}
"""Settings of entries, by the name in the report."""

_SETTINGS: tuple[tuple[str, tuple[str, ...], tuple[Any, ...]], ...] = (
    ("secondary_keys", ("secondary_keys", "keysecondary", "secondkey"), ([], "", None)),
    ("constant", ("constant", "alwaysActive", "forceActivation"), (False, None, 0)),
    ("probability", ("probability",), (100, None, "", 0)),
    ("position", ("position", "outletName"), ("before_char", 0, None, "")),
    ("depth", ("depth",), (4, None, "")),
    ("role", ("role",), (None, 0, "")),
    ("priority", ("priority",), (None, 0, 10, "")),
    ("group", ("group", "groupOverride", "useGroupScoring"), ("", None, False)),
    ("scan_depth", ("scanDepth", "scan_depth", "searchRange", "vectorized"), (None, "", False)),
    (
        "recursion",
        ("excludeRecursion", "preventRecursion", "delayUntilRecursion", "exclude_recursion", "prevent_recursion"),
        (False, None, 0),
    ),
    ("case_sensitive", ("case_sensitive", "caseSensitive", "matchWholeWords"), (None, False)),
    ("timing", ("sticky", "cooldown", "delay"), (None, 0, "")),
    ("character filter", ("characterFilter", "triggers"), (None, {}, [])),
)
"""Name in the report, the keys of an entry or of its `extensions`, and the values that mean nothing."""

_REGEX_KEY = re.compile(r"^/.*/[a-z]*$", re.DOTALL)


def is_lorebook(content: Any) -> bool:
    """Return whether a JSON file is a lorebook."""
    if not isinstance(content, Mapping):
        return False
    if content.get("spec") == "lorebook_v3" or content.get("type") == "risu" or content.get("lorebookVersion"):
        return True
    return isinstance(content.get("entries"), list | Mapping) and "mes_example" not in content


def read_lorebook(content: Any, file: Path, place: str = "") -> SourceBook:
    """Return the lorebook in a JSON value. Raises FileProblem."""
    if content is None or content == {}:
        return SourceBook()
    if isinstance(content, Mapping) and isinstance(content.get("data"), list | Mapping):
        inner = content["data"]
        content = inner if isinstance(inner, Mapping) else {"name": content.get("name"), "entries": inner}
        place = f"{place}.data".lstrip(".")
    if not isinstance(content, Mapping):
        raise _bad(file, place, "expected a lorebook: an object with `entries`")
    place = f"{place}.entries".lstrip(".")
    entries = content.get("entries")
    if isinstance(entries, Mapping):
        items = list(entries.items())
    elif isinstance(entries, list):
        items = list(enumerate(entries))
    elif entries is None:
        items = []
    else:
        raise _bad(file, place, "expected a list or an object of entries")
    if len(items) > MOST_ENTRIES:
        raise _bad(file, place, f"{len(items)} entries are more than {MOST_ENTRIES}", "Split the lorebook.")
    book = SourceBook(text_of(content.get("name")).strip())
    ignored: dict[str, list[str]] = defaultdict(list)
    for key, item in items:
        where = f"{place}[{key}]"
        if not isinstance(item, Mapping):
            book.left_out.append(LeftOut(where, "it is not an object"))
            continue
        _read_entry(item, where, book, ignored)
    for setting, used in sorted(ignored.items()):
        named = ", ".join(used[:4]) + (f" and {len(used) - 4} more" if len(used) > 4 else "")
        book.left_out.append(LeftOut(f"{place}: {setting} of {named}", _WHY[setting]))
    for key in ("scan_depth", "token_budget", "recursive_scanning"):
        if content.get(key) not in (None, False, 0, ""):
            book.left_out.append(LeftOut(f"{place.removesuffix('entries')}{key}", _SEARCH))
    return book


def _read_entry(item: Mapping[str, Any], where: str, book: SourceBook, ignored: dict[str, list[str]]) -> None:
    """Add one entry to a book, and its settings to those that are ignored."""
    keys = _first(item, "keys", "key", "keywords", "triggers")
    all_keys = texts_of(keys)
    title = next((text for name in ("name", "comment", "displayName", "memo") if (text := _line(item.get(name)))), "")
    plain = tuple(key for key in all_keys if not _REGEX_KEY.match(key) and item.get("use_regex") is not True)
    title = title or (plain[0] if plain else "")
    shown = f"{where} ({shortened(title)})" if title else where
    text = text_of(_first(item, "content", "entry", "text")).strip()
    lines = text.split("\n")
    decorators = [line for line in lines if line.startswith("@@")]
    text = "\n".join(line for line in lines if not line.startswith("@@")).strip()
    if item.get("enabled") is False or item.get("disable") is True or "@@dont_activate" in decorators:
        book.left_out.append(LeftOut(shown, "it is turned off"))
        return
    if not text:
        if item.get("mode") != "folder":
            book.left_out.append(LeftOut(shown, "it has no text"))
        return
    if len(text) > MOST_LETTERS:
        book.left_out.append(LeftOut(shown, f"its text has more than {MOST_LETTERS} characters"))
        return
    if len(plain) < len(all_keys):
        odd = ", ".join(shortened(key, 30) for key in all_keys if key not in plain)
        book.left_out.append(LeftOut(f"{shown}: keys", f"{odd}: regular expressions are not searched for"))
    if decorators:
        ignored["decorators"].append(shortened(title or where, 24))
    extensions = item.get("extensions")
    places = (item, extensions if isinstance(extensions, Mapping) else {})
    for setting, names, unset in _SETTINGS:
        if any(each.get(name, unset[0]) not in unset for each in places for name in names if name in each):
            ignored[setting].append(shortened(title or where, 24))
    book.entries.append(SourceEntry(shown, title, text, plain))


def _first(item: Mapping[str, Any], *names: str) -> Any:
    return next((item[name] for name in names if item.get(name) not in (None, "", [])), None)


def _line(value: Any) -> str:
    return " ".join(text_of(value).split())


def _bad(file: Path, place: str, complaint: str, remedy: str = "Export the lorebook again.") -> FileProblem:
    return FileProblem(file, complaint, place=place, remedy=remedy)
