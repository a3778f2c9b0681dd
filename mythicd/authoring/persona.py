"""A character of another program as a persona card and lore of this one.

A persona section holds some 200 tokens, and a card of another program often has ten times as many. What does not fit is
written as lore under the character's name, where memory search finds it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from mythicd.authoring.placeholders import PLAYER, Resolved, resolve_placeholders
from mythicd.authoring.prose import Statement, split_long, spoken_only, statements
from mythicd.authoring.sources import LeftOut, SourceBook, SourceCharacter, shortened
from mythicd.config.settings import BudgetSettings
from mythicd.config.world_files import LoreEntry, PersonaCard
from mythicd.memory.packing import within
from mythicd.text.token_estimate import estimate_tokens

LONGEST_NAME = 80
LONGEST_STYLE = 110
"""Characters of `style`: it stands in the first sentence of the prompt."""
LONGEST_LORE = 280
"""Characters of one lore entry: two or three sentences, so that what is found is what was asked for."""
MOST_ABOUT = 300
"""Lore entries made of one description."""
MOST_TAGS = 8

_STYLE_FIELDS = re.compile(r"\b(?:personality|mind|traits?|demeanou?r|temperament|attitude)$", re.IGNORECASE)
_JOB_FIELDS = frozenset(("occupation", "job", "role", "profession", "class", "archetype", "title"))
_EXAMPLE_FIELDS = re.compile(r"^(?:first message|greeting|examples?|sample|dialogue|quotes?)\b", re.IGNORECASE)
_PHRASE_FIELDS = frozenset(("catchphrase", "catchphrases", "catch phrase", "favorite saying", "favourite saying"))
_SCENE_FIELDS = frozenset(("scenario", "current situation", "setting"))
_RULE = re.compile(r"^(?:Never|Always|Do not|Don['’]t|Must|Refuses? to|Avoids?)\b")
_FOR_A_MODEL = re.compile(
    r"\b(?:role-?play(?:ing)?|OOC|out of character|NSFW|SFW|as an AI|language model|chat ?bot|markdown|asterisks"
    r"|narrat(?:e|ion|or)|(?:speak|act|talk|write|respond|reply|decide)s? (?:for|as|on behalf of) the player"
    r"|the player['’]s (?:actions|dialogue|thoughts|replies|responses)|(?:write|respond|reply) (?:in|with|using)"
    r"|parroting|third person|first person|paragraphs?)\b",
    re.IGNORECASE,
)
_FIRST_PERSON = re.compile(r"\b(?:I|I['’]m|I['’]ve|my|me|myself)\b")
_VERB = r"(?=(?:is|was|has|had|can|will|would|never|always|often|rarely|sometimes|also|\w+s|\w+ed)\b)"


@dataclass(slots=True)
class Converted:
    """One character in this program's form."""

    card: PersonaCard
    lore: list[LoreEntry] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What was done that the author may want to look at."""


def convert_character(
    source: SourceCharacter,
    npc_id: str,
    zone: str,
    voices: Iterable[str],
    taken: set[str],
    budget: int = BudgetSettings().persona,
) -> Converted:
    """Return a source's persona card and lore. Lore ids begin with the npc id; none is in `taken`, which they enter."""
    name = clean_name(source.name)
    called = clean_name(source.nickname) or name
    result = Converted(PersonaCard(name=name[:LONGEST_NAME].strip(), zone=zone), left_out=list(source.left_out))
    if len(name) > LONGEST_NAME:
        result.notes.append(f"The name was cut to {LONGEST_NAME} characters.")
    said = [*_said(source, called, result)]
    style, said = _style(said)
    archetype, said = _archetype(said, (called, name), source.kind)
    phrases = [phrase for each in said if each.field.lower() in _PHRASE_FIELDS for phrase in _items(each.text)]
    said = [each for each in said if each.field.lower() not in _PHRASE_FIELDS]
    rules = [each for each in said if not each.field and _RULE.match(each.text)]
    said = [each for each in said if each not in rules]
    card = msgspec.structs.replace(
        result.card,
        archetype=archetype or PersonaCard(name="x").archetype,
        style=style,
        rules=tuple(_ended(each.text) for each in rules),
        catchphrases=tuple(phrases),
        aliases=_aliases(name, called),
        voice_id=source.voice if source.voice in set(voices) else "",
    )
    if source.voice and not card.voice_id:
        result.notes.append(
            f"Its voice in the other program is {source.voice!r}; voices.yaml has none of this name. Add one, and name"
            " it in `voice_id`."
        )
    result.card, over = _within_budget(card, said, (called, name), budget)
    result.lore = _about(over, npc_id, called, result, taken)
    if source.book is not None:
        lore, left_out = convert_book(source.book, npc_id, called, taken)
        result.lore += lore
        result.left_out += left_out
    if result.lore:
        where = f"in the zone {zone!r}" if zone else "in the world"
        result.notes.append(f"Every character {where} knows its lore. Delete from it what should stay private.")
    return result


def convert_book(
    book: SourceBook, prefix: str, character: str, taken: set[str]
) -> tuple[list[LoreEntry], list[LeftOut]]:
    """Return a lorebook's entries as lore, and what was not taken. `character` is whom `{{char}}` means."""
    lore: list[LoreEntry] = []
    left_out = list(book.left_out)
    for source in book.entries:
        resolved = resolve_placeholders(source.text, character)
        _report(resolved, source.place, left_out)
        text = spoken_only(resolved.text, character, PLAYER)
        if text != resolved.text:
            left_out.append(LeftOut(source.place, "it is written as a dialogue: only the character's words were taken"))
        pieces = list(_pieces(_sentence(each, "") for each in statements(text)))
        if not pieces:
            left_out.append(LeftOut(source.place, "nothing is left of it without placeholders and markup"))
            continue
        title = shortened(clean_name(resolve_placeholders(source.title, character).text), 80)
        keys = [" ".join(resolve_placeholders(key, character).text.lower().split()) for key in source.keys]
        tags = [key for key in dict.fromkeys(keys) if key and key != title.lower() and len(key) <= 40]
        if len(tags) > MOST_TAGS:
            left_out.append(LeftOut(f"{source.place}: keys", f"an entry gets {MOST_TAGS} tags: {_more(tags)}"))
        for piece in pieces:
            entry_id = unique_id(f"{prefix}_{slug(title) or 'entry'}", taken)
            lore.append(LoreEntry(id=entry_id, text=piece, title=title, tags=tuple(tags[:MOST_TAGS])))
    return lore, left_out


def _more(tags: Sequence[str]) -> str:
    return ", ".join(shortened(tag, 20) for tag in tags[MOST_TAGS : MOST_TAGS + 4]) + " and so on were left out"


# --- what is said ----------------------------------------------------------------------------------------------------


def _said(source: SourceCharacter, called: str, result: Converted) -> Iterator[Statement]:
    """Yield what a source says of the character; report what is not about it."""
    examples, orders, scenes = 0, 0, 0
    speakers = {called.casefold(), source.name.casefold(), PLAYER}
    for place, text in (
        ("personality", source.personality),
        ("description", source.description),
        ("scenario", source.scenario),
    ):
        resolved = resolve_placeholders(text, called)
        _report(resolved, place, result.left_out)
        for each in statements(resolved.text):
            if each.field.casefold() in speakers or _EXAMPLE_FIELDS.match(each.line):
                examples += 1
            elif _FOR_A_MODEL.search(each.line):
                orders += 1
            elif (place == "scenario" or each.field.lower() in _SCENE_FIELDS) and _is_scene(each.text):
                scenes += 1
            elif each.field.lower() in (*_SCENE_FIELDS, "description"):
                yield Statement(each.text)
            elif place == "personality" and not each.field and (not _is_sentence(each.text) or _is_traits(each.text)):
                yield Statement(each.text, "Personality")
            else:
                yield each
    for count, place, why in (
        (examples, "example lines", "a prompt has no example dialogues; describe the manner of speaking in `style`"),
        (orders, "instructions", "they tell a model how to write; put what must hold into `rules`"),
        (scenes, "scenario", "it tells of a moment with the player; the game sends the scene (SceneUpdate)"),
    ):
        if count:
            result.left_out.append(LeftOut(f"{place} ({count} sentences)" if count > 1 else place, why))


def _report(resolved: Resolved, place: str, left_out: list[LeftOut]) -> None:
    for written in resolved.taken_out:
        left_out.append(LeftOut(f"{place}: {shortened(written)}", "this placeholder has no value here"))
    for written in resolved.first_of_several:
        left_out.append(LeftOut(f"{place}: {shortened(written)}", "the first of its values was taken, once for all"))


def _is_scene(text: str) -> bool:
    """Return whether a sentence tells of a moment with the player."""
    return re.search(r"\bthe player\b|\byour?\b", text, re.IGNORECASE) is not None


def _is_sentence(text: str) -> bool:
    return text[-1:] in ".!?…" and len(text.split()) > 3


def _items(text: str) -> list[str]:
    items = (re.sub(r"^and ", "", item.strip(" .\"'“”")) for item in re.split(r"[,;/]", text))
    return [item for item in items if item]


def _is_traits(text: str) -> bool:
    """Return whether a sentence is only a list of traits: "Stubborn, brave and loyal."."""
    return all(len(item.split()) <= 2 for item in re.split(r"[,;]| and ", text.rstrip(".")))


def _style(said: list[Statement]) -> tuple[str, list[Statement]]:
    """Return the manner of speaking, made of lists of traits, and what is left of the statements."""
    sources = [
        each
        for each in said
        if _STYLE_FIELDS.search(each.field) and (not _is_sentence(each.text) or _is_traits(each.text))
    ]
    texts = (re.sub(r",?\s+and ", ", ", each.text) if _is_traits(each.text) else each.text for each in sources)
    traits = list(dict.fromkeys(item for text in texts for item in map(_uncapitalised, _items(text))))
    style = ""
    while traits and len(f"{style}, {traits[0]}") <= LONGEST_STYLE:
        style = f"{style}, {traits.pop(0)}".lstrip(", ")
    kept = [each for each in said if each not in sources]
    return style, [*(Statement(part, "Also") for part in split_long(", ".join(traits), 150)), *kept]


def _archetype(said: list[Statement], names: Sequence[str], kind: str) -> tuple[str, list[Statement]]:
    """Return what the character is ("a baker"), and what is left of the statements."""
    who = "|".join(re.escape(name) for name in names)
    pattern = re.compile(
        rf"^(?:{who}|She|He|They|It|I)(?: is| was| are| am|['’]m|['’]s) ((?:an?|the) [^.,;:!?()]{{3,60}})"
    )
    for each in said[:12]:
        if each.field.lower() in _JOB_FIELDS and len(each.text) <= 60:
            words = _uncapitalised(_items(each.text)[0]) if _items(each.text) else ""
            if words:
                article = "" if re.match(r"(?:an?|the) ", words) else "an " if words[0] in "aeiou" else "a "
                return article + words, [other for other in said if other != each]
        if not each.field and (match := pattern.match(each.text)):
            if kind and each.text.startswith("I"):
                return kind, said
            what = re.split(r"\s+(?:who|which|that|whose|with|living|and)\s", match[1])[0].strip()
            is_all = match.end() >= len(each.text.rstrip(".!")) and what == match[1].strip()
            return what, [other for other in said if other != each or not is_all]
    return kind, said


def _within_budget(
    card: PersonaCard, said: Sequence[Statement], names: Sequence[str], budget: int
) -> tuple[PersonaCard, list[Statement]]:
    """Return the card with as much of its backstory as fits the persona section, and the rest."""
    backstory: list[str] = []
    over: list[Statement] = []
    for each in said:
        tried = msgspec.structs.replace(card, backstory=(*backstory, _persona_line(each, names)))
        if not over and len(within(tried.persona_lines(), budget, estimate_tokens)) == len(tried.persona_lines()):
            backstory = list(tried.backstory)
        else:
            over.append(each)
    return msgspec.structs.replace(card, backstory=tuple(backstory)), over


def _persona_line(said: Statement, names: Sequence[str]) -> str:
    """Return a statement as a line of a persona card, which has no subject: "Loves tea with honey"."""
    if said.field:
        return _ended(said.line)
    who = "|".join(re.escape(name) for name in names)
    line = re.sub(rf"^(?:{who}|She|He) {_VERB}", "", said.text)
    return _ended(line[:1].upper() + line[1:])


def _about(over: Sequence[Statement], npc_id: str, called: str, result: Converted, taken: set[str]) -> list[LoreEntry]:
    """Return the statements that do not fit the persona section as lore about the character."""
    own = [each for each in over if _FIRST_PERSON.search(each.text) and not each.field]
    if own:
        why = "over the persona budget, and in the first person: another character would tell it as its own"
        result.left_out.append(LeftOut(f"description ({len(own)} sentences)", why))
    pieces = list(_pieces(_sentence(each, called) for each in over if each not in own))
    if len(pieces) > MOST_ABOUT:
        result.left_out.append(LeftOut("description", f"all after the first {MOST_ABOUT} pieces"))
    if pieces:
        result.notes.append("What is over the persona budget became lore about the character.")
    return [
        LoreEntry(id=unique_id(f"{npc_id}_about", taken), text=piece, title=called[:80])
        for piece in pieces[:MOST_ABOUT]
    ]


# --- words -----------------------------------------------------------------------------------------------------------


def slug(text: str) -> str:
    """Return text as the middle of an id: lower case, digits and `_`; empty if nothing of it can be in one."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:40].strip("_")


def unique_id(wanted: str, taken: set[str]) -> str:
    """Return an id that is not taken yet, and take it."""
    stem = wanted[:56].rstrip("_")
    found, number = stem, 2
    while found in taken:
        found, number = f"{stem}_{number}", number + 1
    taken.add(found)
    return found


def _sentence(said: Statement, called: str) -> str:
    """Return a statement as a sentence that says whom it is about."""
    if not said.field:
        return said.text[:1].upper() + said.text[1:]  # it may be the second part of a long sentence
    whose = "" if not called or said.field.startswith(called) else f"{called}'s "
    name = said.field if not whose else _uncapitalised(said.field)
    return f"{whose}{name}: {said.text}."


def _pieces(texts: Iterable[str]) -> Iterator[str]:
    """Yield texts joined to pieces of at most LONGEST_LORE characters."""
    held = ""
    for text in (part for each in texts for part in split_long(each, LONGEST_LORE)):
        if held and len(held) + len(text) >= LONGEST_LORE:
            yield held
            held = text
        else:
            held = f"{held} {text}".strip()
    if held:
        yield held


def clean_name(text: str) -> str:
    """Return a name without markup and repeated blanks; empty when there is nothing else in it."""
    return " ".join(re.sub(r"[<>{}|*#\"\[\]]+", " ", text).split())


def _aliases(name: str, called: str) -> tuple[str, ...]:
    """Return what else players may call the character: its nickname, and its name without what follows it."""
    first = re.split(r",| the | of | \(", name)[0].strip()
    return tuple(dict.fromkeys(each for each in (called, first) if each and each != name))


def _uncapitalised(text: str) -> str:
    """Return text that begins in lower case, unless its first word is all capitals or a name of several."""
    first = text.split(" ")[0]
    return text if len(first) > 1 and first.isupper() else text[:1].lower() + text[1:]


def _ended(text: str) -> str:
    """Return a line without a full stop at its end, as lines of cards are."""
    return text[:-1] if text.endswith(".") and not text.endswith("..") else text
