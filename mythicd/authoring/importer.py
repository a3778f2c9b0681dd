"""`mythicd import`: a character card, lorebook or Mantella file, written into a world's folder."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from mythicd.authoring import mantella
from mythicd.authoring.cards import is_card, read_card
from mythicd.authoring.lorebooks import is_lorebook, read_lorebook
from mythicd.authoring.persona import clean_name, convert_book, convert_character, slug, unique_id
from mythicd.authoring.png_card import SIGNATURE, card_texts
from mythicd.authoring.sources import LeftOut, SourceBook, SourceCharacter
from mythicd.authoring.yaml_writer import card_text, checked, lore_text, write_files
from mythicd.config.world_files import PersonaCard, WorldReading, read_world
from mythicd.config.yaml_reader import MAX_FILE_BYTES, FileProblem, did_you_mean
from mythicd.wire.messages import Id

MAX_IMAGE_BYTES = 128 * 1024 * 1024
MAX_TEXT_BYTES = 32 * 1024 * 1024
"""Largest JSON or CSV file. Mantella's list of all characters of Skyrim has 3 MiB."""
MOST_CHARACTERS = 50
"""Characters that one command imports."""

_KINDS = (
    (b"PK\x03\x04", "a zip archive, perhaps a CHARX card", "Unpack it, and import the card.json in it."),
    (b"\xff\xd8\xff", "a JPEG image", "Use the original PNG, or export the character as JSON."),
    (b"RIFF", "a WebP image or a sound", "Use the original PNG, or export the character as JSON."),
    (b"GIF8", "a GIF image", "Use the original PNG, or export the character as JSON."),
    (b"\x1f\x8b", "a gzip archive", "Unpack it first."),
    (b"%PDF", "a PDF document", "Export the character as JSON."),
)


@dataclass(slots=True)
class Imported:
    """The result of an import."""

    format: str
    files: dict[Path, str] = field(default_factory=dict)
    """The files written, with what is in each, in words."""
    npc_ids: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What to import, and where to."""

    source: Path
    world: Path
    npc_id: str = ""
    zone: str = ""
    name: str = ""
    """Which character of a file with several; all when empty."""
    force: bool = False


@dataclass(slots=True)
class _Source:
    """A file's content."""

    format: str
    characters: list[SourceCharacter] = field(default_factory=list)
    book: SourceBook | None = None
    notes: list[str] = field(default_factory=list)


def import_file(request: ImportRequest) -> Imported:
    """Read a file of another program, and write it into a world. Raises FileProblem, a ConfigError."""
    if request.npc_id:
        try:
            msgspec.convert(request.npc_id, Id)
        except msgspec.ValidationError:
            complaint = f"--npc-id: invalid id {request.npc_id!r}"
            raise FileProblem(request.source, complaint, remedy="Use letters, digits and _ . - only.") from None
    reading = read_world(request.world)
    if "world.yaml" not in reading.folder.top:
        raise FileProblem(
            request.world,
            "there is no world here: it has no world.yaml",
            remedy="Name a world's folder with --world, or make one: mythicd world new NAME",
        )
    source = read_source(request.source)
    result = Imported(source.format, notes=list(source.notes))
    texts: dict[Path, str] = {}
    if source.book is not None:
        _add_book(source.book, request, reading, result, texts)
    else:
        _add_characters(source.characters, request, reading, result, texts)
    write_files(texts, force=request.force)
    after = read_world(request.world)
    for problem in after.problems:
        if problem.file in texts:
            result.notes.append(str(problem))
    if request.zone and request.zone not in _zones(reading):
        known = did_you_mean(request.zone, _zones(reading)) or "Lore of this zone is known only to characters in it."
        result.notes.append(f"The zone {request.zone!r} is new in this world. {known}")
    return result


def _add_characters(
    characters: Iterable[SourceCharacter],
    request: ImportRequest,
    reading: WorldReading,
    result: Imported,
    texts: dict[Path, str],
) -> None:
    chosen = mantella.select(list(characters), request.name, MOST_CHARACTERS, request.source)
    if request.npc_id and len(chosen) > 1:
        complaint = f"--npc-id names one character, and the file has {len(chosen)}"
        raise FileProblem(request.source, complaint, remedy="Choose one with --name NAME.")
    used: set[str] = set()
    own: set[str] = set()
    for source in chosen:
        if not clean_name(source.name):
            remedy = "Give the character a name of letters, and import it again."
            raise FileProblem(request.source, f"{source.name!r} cannot be a character's name", remedy=remedy)
        npc_id = request.npc_id or unique_id(_npc_id(source.name, request.source), used)
        card_file = request.world / "npcs" / f"{npc_id}.yaml"
        lore_file = request.world / "lore" / f"{npc_id}.yaml"
        taken = _lore_ids(reading, lore_file) | own
        converted = convert_character(source, npc_id, request.zone, reading.draft.voices, taken)
        lore = converted.lore
        own |= {entry.id for entry in lore}
        checked(converted.card, lore)
        comment = f"Imported from {request.source.name} ({source.format}{', ' * bool(source.credit)}{source.credit})."
        texts[card_file] = card_text(converted.card, [comment])
        card = converted.card
        result.files[card_file] = f"{card.name}, {card.archetype}: {len(card.persona_lines())} lines"
        if lore:
            texts[lore_file] = _fitting(lore_text(lore, request.zone, [comment]), lore_file)
            result.files[lore_file] = f"{len(lore)} lore entries"
        result.npc_ids.append(npc_id)
        prefix = f"{source.name}: " if len(chosen) > 1 else ""
        result.left_out += [LeftOut(prefix + each.place, each.why) for each in converted.left_out]
        result.notes += [prefix + note for note in converted.notes]


def _add_book(
    book: SourceBook, request: ImportRequest, reading: WorldReading, result: Imported, texts: dict[Path, str]
) -> None:
    stem = slug(book.name) or slug(request.source.stem) or "lorebook"
    known = reading.draft.characters.get(request.npc_id) if request.npc_id else None
    if request.npc_id and known is None:
        complaint = f"--npc-id: the world has no character {request.npc_id!r}"
        remedy = "Leave it out, or name the character that {{char}} means in the lorebook."
        raise FileProblem(request.source, complaint, remedy=remedy)
    file = request.world / "lore" / f"{stem}.yaml"
    lore, left_out = convert_book(book, stem, known.name if known else "the character", _lore_ids(reading, file))
    if not lore:
        raise FileProblem(request.source, "no entry of this lorebook can be taken", remedy=_first_reason(left_out))
    checked(PersonaCard(name="x"), lore)
    texts[file] = _fitting(lore_text(lore, request.zone, [f"Imported from {request.source.name}."]), file)
    result.files[file] = f"{len(lore)} lore entries"
    result.left_out += left_out
    if not known and any("the character" in entry.text.lower() for entry in lore):
        result.notes.append('"{{char}}" in it became "the character". Name whom it means with --npc-id.')


def _first_reason(left_out: list[LeftOut]) -> str:
    return f"{left_out[0].place}: {left_out[0].why}." if left_out else "Check that it has entries with text."


def _fitting(text: str, file: Path) -> str:
    if len(text.encode()) > MAX_FILE_BYTES:
        complaint = f"the lore would be larger than {MAX_FILE_BYTES // 1024} KiB, the largest file that is read"
        raise FileProblem(file, complaint, remedy="Split the lorebook, and import its parts.")
    return text


def _lore_ids(reading: WorldReading, file: Path) -> set[str]:
    """Return the lore ids that are used in the world's other files."""
    contents = [content for other, content in reading.good.items() if other != file]
    return {entry.id for content in contents for entry in getattr(content, "entries", ())}


def _zones(reading: WorldReading) -> set[str]:
    return {zone for content in reading.good.values() if (zone := getattr(content, "zone", ""))}


def _npc_id(name: str, source: Path) -> str:
    return slug(name) or slug(source.stem) or "character"


# --- reading ---------------------------------------------------------------------------------------------------------


def read_source(file: Path) -> _Source:
    """Return what is in a file of another program. The format is known by its content. Raises FileProblem."""
    data = _bytes(file)
    if data.startswith(SIGNATURE):
        return _from_image(data, file)
    for magic, what, remedy in _KINDS:
        if data.startswith(magic):
            raise FileProblem(file, f"this is {what}, not a PNG or JSON character card", remedy=remedy)
    if len(data) > MAX_TEXT_BYTES:
        raise FileProblem(file, f"larger than {MAX_TEXT_BYTES // 2**20} MiB", remedy="Split it, or remove its images.")
    text, notes = _text(data, file)
    if text.lstrip()[:1] in ("{", "["):
        source = _from_json(_json(text, file), file)
    elif any(mark in text.partition("\n")[0] for mark in ",;\t"):
        source = _Source(mantella.FORMAT, mantella.read_csv(text, file))
    else:
        remedy = "Give a character card (PNG or JSON), a lorebook (JSON) or a list of Mantella's (CSV or JSON)."
        raise FileProblem(file, "neither JSON nor CSV", remedy=remedy)
    source.notes += notes
    return source


def _bytes(file: Path) -> bytes:
    try:
        if file.is_dir():
            raise FileProblem(file, "this is a folder", remedy="Name a file.")
        with file.open("rb") as handle:
            data = handle.read(MAX_IMAGE_BYTES + 1)
    except FileNotFoundError:
        raise FileProblem(file, "this file does not exist", remedy="Check the path.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FileProblem(file, f"cannot read it: {reason}", remedy="Check the path.") from error
    if not data.strip():
        raise FileProblem(file, "this file is empty", remedy="Download or export it again.")
    if len(data) > MAX_IMAGE_BYTES:
        raise FileProblem(file, f"larger than {MAX_IMAGE_BYTES // 2**20} MiB", remedy="Use a smaller image.")
    return data


def _text(data: bytes, file: Path) -> tuple[str, list[str]]:
    """Return a file as text, and a note if it was not UTF-8."""
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding), []
    except UnicodeDecodeError as error:
        if b"\0" in data:
            complaint = f"neither text nor an image: {error.reason} at byte {error.start}"
            raise FileProblem(file, complaint, remedy="Give a PNG, JSON or CSV file.") from None
        note = f"{file.name} is not UTF-8 text (byte {error.start}): it was read as Windows-1252. Check its accents."
        return data.decode("cp1252", "replace"), [note]


def _from_image(data: bytes, file: Path) -> _Source:
    texts = card_texts(data, file)
    notes = []
    for at, (keyword, text) in enumerate(texts):
        try:
            source = _from_json(_json(text, file, f"chunk {keyword}"), file)
        except FileProblem as problem:
            if at + 1 == len(texts):
                raise
            notes.append(f"The card in chunk {keyword} cannot be used ({problem.complaint}); chunk chara was taken.")
        else:
            source.notes += notes
            return source
    raise AssertionError("card_texts returned none")


def _json(text: str, file: Path, place: str = "") -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        is_cut = error.pos >= len(text.rstrip()) - 1 or error.msg.startswith("Unterminated")
        complaint = f"not valid JSON{', it is truncated' if is_cut else ''}: {error.msg}"
        line, column = error.lineno, error.colno
        where = f"{place}, character {error.pos + 1}" if place else ""
        remedy = "Download or export it again." if is_cut else "Correct it there, or export it again."
        raise FileProblem(
            file,
            complaint,
            place=where,
            line=None if place else line,
            column=None if place else column,
            remedy=remedy,
        ) from None
    except RecursionError:
        raise FileProblem(file, "the JSON is nested too deeply", place=place, remedy="Export it again.") from None
    except ValueError as error:  # a whole number of more than 4300 digits
        raise FileProblem(file, f"not valid JSON: {error}", place=place, remedy="Export it again.") from None


def _from_json(content: Any, file: Path) -> _Source:
    if is_card(content):
        character = read_card(content, file)
        return _Source(character.format, [character])
    if is_lorebook(content):
        return _Source("lorebook", book=read_lorebook(content, file))
    if mantella.is_mantella(content):
        return _Source(mantella.FORMAT, mantella.read_json(content, file))
    known = ", ".join(f"{key!r}" for key in list(content)[:6]) if isinstance(content, dict) else type(content).__name__
    raise FileProblem(
        file,
        f"neither a character card nor a lorebook (found: {known[:120] or 'nothing'})",
        remedy="Give a Character Card V1, V2 or V3, a lorebook with `entries`, or a character with `name` and `bio`.",
    )
