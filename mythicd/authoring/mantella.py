"""Mantella's characters: rows of its CSV lists, and character overrides as CSV or JSON.

Columns: art-from-the-machine.github.io/Mantella, "Add or Edit NPCs". Only `name` and `bio` say who a character is; the
rest finds it, or its voice, in Skyrim or Fallout 4.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mythicd.authoring.sources import LeftOut, SourceCharacter, check_length, shortened, text_of
from mythicd.config.yaml_reader import FileProblem

FORMAT = "Mantella character"

_TAKEN = frozenset(("name", "bio", "race", "gender", "species", "voice_model", "description", "personality"))
_WHY = {
    "first_mes": "a character here does not speak first; the game may show this text itself",
    "mes_example": "a prompt has no example dialogues; describe the manner of speaking in `style` and `catchphrases`",
    "lang_override": "the language is that of the recogniser and the voices",
    "llm_service": "the model is chosen in config.yaml",
    "model": "the model is chosen in config.yaml",
    "tags": "they name templates of Mantella's for a biography",
    "prompt_name": "names in prompts are those of the card",
}
_IDENTITY = frozenset(("base_id", "ref_id", "sysid", "race_id"))
_VOICES = frozenset(
    (
        "advanced_voice_model",
        "voice_accent",
        "skyrim_voice_folder",
        "fallout4_voice_folder",
        "csv_in_game_voice_folder",
        "in_game_voice_model",
        "tts_service",
    )
)
_BORING = frozenset(("bio_url", "note", "updated_by", "updated_on", "author", "creator", "source", "priority"))
_CHARACTERISTIC = frozenset(("bio", "voice_model", "base_id", "ref_id", "race", "gender", "species"))


def is_mantella(content: Any) -> bool:
    """Return whether a JSON file holds Mantella's characters."""
    if isinstance(content, list):
        return bool(content) and all(is_mantella(item) for item in content[:20])
    if not isinstance(content, Mapping):
        return False
    keys = {str(key).lower() for key in content}
    return "name" in keys and bool(keys & _CHARACTERISTIC)


def read_json(content: Any, file: Path) -> list[SourceCharacter]:
    """Return the characters of a JSON override. Raises FileProblem."""
    rows = content if isinstance(content, list) else [content]
    return [_character(row, f"[{index}]." if len(rows) > 1 else "", file, None) for index, row in enumerate(rows)]


def read_csv(text: str, file: Path) -> list[SourceCharacter]:
    """Return the characters of a CSV list. Raises FileProblem."""
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    # A biography may be longer than the module's default of 128 KiB.
    csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        names = [name.strip().lower() for name in next(reader, [])]
        if "name" not in names or not set(names) & _CHARACTERISTIC:
            raise FileProblem(
                file,
                "the first row does not name the columns of Mantella's characters",
                line=1,
                remedy="Begin with a row such as: name,voice_model,bio,race,gender,species",
            )
        rows = [(dict(zip(names, row, strict=False)), reader.line_num) for row in reader if any(map(str.strip, row))]
    except csv.Error as error:
        raise FileProblem(file, f"not CSV: {error}", line=reader.line_num, remedy="Check its quotes.") from None
    if not rows:
        raise FileProblem(file, "no character: there is only the row of column names", remedy="Add a row.")
    return [_character(row, "", file, line) for row, line in rows]


def _character(row: Any, place: str, file: Path, line: int | None) -> SourceCharacter:
    if not isinstance(row, Mapping):
        raise FileProblem(
            file, "expected an object with `name` and `bio`", place=place.rstrip("."), remedy="Correct it."
        )
    fields = {str(key).strip().lower(): text_of(value).strip() for key, value in row.items()}
    name = " ".join(fields.get("name", "").split())
    if not name:
        raise FileProblem(file, "the character has no name", place=f"{place}name", line=line, remedy="Give it a name.")
    for key in ("bio", "description", "personality", "scenario"):
        check_length(fields.get(key, ""), file, f"{place}{key}", line)
    left_out = []
    if any(fields.get(key) for key in _IDENTITY):
        left_out.append(LeftOut(f"{place}base_id, ref_id", "the game finds a character by its npc id: use --npc-id"))
    if any(fields.get(key) for key in _VOICES):
        left_out.append(LeftOut(f"{place}voice folders", "voices are in voices.yaml"))
    for key, value in fields.items():
        if value and key not in _TAKEN | _IDENTITY | _VOICES | _BORING | {"scenario", "species"}:
            left_out.append(LeftOut(f"{place}{shortened(key)}", _WHY.get(key, "a field of another program")))
    texts = [fields.get("bio", ""), fields.get("description", "")]
    return SourceCharacter(
        format=FORMAT,
        name=name,
        description="\n".join(text for text in texts if text),
        personality=fields.get("personality", ""),
        scenario=fields.get("scenario", ""),
        kind=_kind(fields),
        voice=fields.get("voice_model", ""),
        left_out=left_out,
    )


def _kind(fields: Mapping[str, str]) -> str:
    """Return what a character is: "a Nord woman"."""
    race = shortened(fields.get("race", "") or fields.get("species", ""), 30)
    grown = {"male": "man", "female": "woman"}.get(fields.get("gender", "").lower(), "")
    words = f"{race} {grown}".strip()
    if not words or "," in words:
        return ""
    return f"{'an' if words[0].lower() in 'aeiou' else 'a'} {words}"


def select(characters: Sequence[SourceCharacter], name: str, most: int, file: Path) -> list[SourceCharacter]:
    """Return the characters of a name, or all if it is empty. Raises FileProblem if they are none, or too many."""
    chosen = [each for each in characters if not name or each.name.casefold() == name.casefold()]
    if not chosen:
        known = ", ".join(dict.fromkeys(each.name for each in characters[:10]))
        raise FileProblem(file, f"there is no character {name!r}", remedy=f"The first ones are: {known}.")
    if len(chosen) > most:
        complaint = f"{len(chosen)} characters are more than are imported at once ({most})"
        raise FileProblem(file, complaint, remedy="Choose one with --name NAME.")
    return chosen
