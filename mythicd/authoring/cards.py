"""Character cards of versions 1 to 3 (chara_card_v2, chara_card_v3), as JSON.

Formats: github.com/malfoyslastname/character-card-spec-v2 and github.com/kwaroran/character-card-spec-v3. Programs bend
them (null for an empty list, text for a list, fields at the top and in `data`), so every field is read with patience.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mythicd.authoring.lorebooks import read_lorebook
from mythicd.authoring.sources import LeftOut, SourceCharacter, check_length, shortened, text_of, texts_of
from mythicd.config.yaml_reader import FileProblem

SPECS = {"chara_card_v2": "Character Card V2", "chara_card_v3": "Character Card V3"}

_OLD_NAMES = {
    "char_name": "name",
    "char_persona": "description",
    "world_scenario": "scenario",
    "char_greeting": "first_mes",
    "example_dialogue": "mes_example",
}
"""Fields of version 1 as Pygmalion's and oobabooga's editors call them."""

_MODEL_PROMPT = "it instructs a model in another program's form; write what must hold into `rules` of the card"
_WHY = {
    "first_mes": "a character here does not speak first; the game may show this text itself",
    "alternate_greetings": "a character here does not speak first; the game may show these texts itself",
    "group_only_greetings": "there are no group chats; the game may show these texts itself",
    "mes_example": "a prompt has no example dialogues; describe the manner of speaking in `style` and `catchphrases`",
    "system_prompt": _MODEL_PROMPT,
    "post_history_instructions": _MODEL_PROMPT,
    "creator_notes": "notes for people; read them in the original",
    "creator_notes_multilingual": "notes for people; read them in the original",
    "tags": "a character has no tags; they are for finding cards in a collection",
    "assets": "pictures and sounds belong to the game",
    "extensions": "settings of another program",
}
_EXTENSIONS = {
    "regex_scripts": "scripts that rewrite replies are not run; here guardrails check them",
    "depth_prompt": _MODEL_PROMPT,
    "world": "the name of a lorebook that is not in this file; export and import it too",
    "talkativeness": "the game decides who is spoken to",
    "voice": "voices are in voices.yaml",
}
_KNOWN = frozenset(
    "spec spec_version data name nickname description personality scenario character_book creator character_version"
    " source creation_date modification_date avatar chat create_date creatorcomment fav talkativeness json_data"
    " first_mes mes_example metadata".split()
)
"""Fields that are taken, or that say nothing about the character."""


def is_card(content: Any) -> bool:
    """Return whether a JSON file is a character card."""
    if not isinstance(content, Mapping):
        return False
    if "spec" in content and content["spec"] != "lorebook_v3":
        return True
    data = content.get("data")
    inner = data if isinstance(data, Mapping) else content
    return bool({"first_mes", "personality", "mes_example", "char_name", "char_persona"} & inner.keys())


def read_card(content: Mapping[str, Any], file: Path) -> SourceCharacter:
    """Return the character in a card. Raises FileProblem."""
    spec = content.get("spec")
    if spec is not None and spec not in SPECS:
        complaint = f"unknown card format {shortened(text_of(spec)) or type(spec).__name__!r}"
        raise FileProblem(file, complaint, place="spec", remedy=f"Export the card as {' or '.join(SPECS)}.")
    data = content.get("data")
    if isinstance(data, Mapping):
        place, name_of_format = "data.", SPECS.get(str(spec), "Character Card V2")
    elif spec is not None:
        complaint = f"a card of format {spec} has its fields here, and there are none"
        raise FileProblem(file, complaint, place="data", remedy="Export the card again.")
    else:
        place, name_of_format, data = "", "Character Card V1", content
    fields = {_OLD_NAMES.get(key, key): value for key, value in data.items()}
    # Some programs write a field at the top only.
    fields |= {
        key: value for key, value in content.items() if key in ("name", "description") and not text_of(fields.get(key))
    }
    name = " ".join(text_of(fields.get("name")).split())
    if not name:
        remedy = "Give the character a name in that field, and import it again."
        raise FileProblem(file, "the character has no name", place=f"{place}name", remedy=remedy)
    for key in ("description", "personality", "scenario"):
        check_length(text_of(fields.get(key)), file, f"{place}{key}")
    version = text_of(content.get("spec_version"))
    character = SourceCharacter(
        format=name_of_format,
        name=name,
        nickname=" ".join(text_of(fields.get("nickname")).split()),
        description=text_of(fields.get("description")),
        personality=text_of(fields.get("personality")),
        scenario=text_of(fields.get("scenario")),
        credit=_credit(fields),
        book=read_lorebook(fields.get("character_book"), file, f"{place}character_book"),
    )
    if version and not version.startswith(("2.", "3.")) and spec is not None:
        why = f"version {shortened(version)} is newer than this program: fields it does not know were left out"
        character.left_out.append(LeftOut("spec_version", why))
    character.left_out += _left_out(fields, place)
    return character


def _left_out(fields: Mapping[str, Any], place: str) -> list[LeftOut]:
    """Return the fields that have something in them and no place in a persona card."""
    found = []
    for key, value in fields.items():
        if key == "extensions" and isinstance(value, Mapping):
            found += [
                LeftOut(f"{place}extensions.{shortened(str(name))}", _EXTENSIONS.get(str(name), _WHY["extensions"]))
                for name, inner in value.items()
                if _says_something(name, inner)
            ]
        elif key in _WHY and (texts_of(value) or text_of(value).strip() or (isinstance(value, Mapping) and value)):
            count = f" ({len(value)})" if isinstance(value, list) and len(value) > 1 else ""
            found.append(LeftOut(f"{place}{key}{count}", _WHY[key]))
        elif key in _WHY and isinstance(value, list) and value:
            found.append(LeftOut(f"{place}{key} ({len(value)})", _WHY[key]))
        elif key not in _KNOWN and key not in _WHY and value not in (None, "", [], {}, False, 0):
            found.append(LeftOut(f"{place}{shortened(str(key))}", "a field of another program"))
    return found


def _says_something(name: Any, value: Any) -> bool:
    """Return whether a setting of another program is more than its default."""
    if name == "depth_prompt" and isinstance(value, Mapping):
        return bool(text_of(value.get("prompt")).strip())
    return name not in ("fav", "talkativeness", "chub") and value not in (None, "", [], {}, False, 0)


def _credit(fields: Mapping[str, Any]) -> str:
    creator = shortened(text_of(fields.get("creator")), 80)
    version = shortened(text_of(fields.get("character_version")), 40)
    source = next(iter(texts_of(fields.get("source"))), "")
    parts = (f"by {creator}" if creator else "", f"version {version}" if version else "", shortened(source, 120))
    return ", ".join(part for part in parts if part)
