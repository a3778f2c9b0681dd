"""Lore entries that contradict each other: they say the same but for a number, a time or a price.

The rule is conservative: it reports sentences whose other words agree, and never guesses what words mean. "The tavern
opens at noon" and "The tavern closes at midnight" are two facts; "opens at noon" and "opens at nine" are not.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mythicd.config.world_files import PlacedLore
from mythicd.text.english.numbers import CARDINALS, ORDINALS, SCALES
from mythicd.text.english.sentences import sentences

SAME_TITLE = 0.6
"""Least share of the shorter sentence's words that two sentences of one title have in common."""
LEAST_WORDS = 2
"""Least words, apart from numbers, of a sentence that is compared."""
MOST_COMPARED = 60
"""Sentences with the same word that are compared: a word that more of them have says nothing."""
MOST_VARIANTS = 4
"""Values that sentences of the same words may have, and be reported: more of them are a list, not a mistake."""
MOST_TOLD = 200
"""Contradictions that are reported at most."""

_TIMES = frozenset("noon midday midnight sunrise sunset dawn dusk".split())
_FILLER = frozenset(
    "a an the is are was were be been of in on at to for from until till by and or it its this that there has have had"
    " every each with about only just around coin coins o'clock morning evening afternoon night a.m p.m am pm".split()
)
"""Words that do not tell two sentences apart; units of money and of the day among them."""
_WORD = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)*")


@dataclass(frozen=True, slots=True)
class _Fact:
    """A sentence with numbers."""

    at: int
    """Index of its entry."""
    sentence: str
    title: str
    words: frozenset[str]
    values: tuple[str, ...]


def contradictions(lore: Sequence[PlacedLore]) -> Iterator[tuple[int, int, str, str]]:
    """Yield (index, index, sentence, sentence) of each two entries that contradict each other."""
    facts = [fact for at, placed in enumerate(lore) for fact in _facts(at, placed)]
    homes: dict[str, list[_Fact]] = defaultdict(list)
    for fact in facts:
        for word in fact.words:
            homes[word].append(fact)
    variants: dict[frozenset[str], set[tuple[str, ...]]] = defaultdict(set)
    for fact in facts:
        variants[fact.words].add(fact.values)
    told: set[tuple[int, int]] = set()
    for one in facts:
        if len(variants[one.words]) > MOST_VARIANTS:
            continue  # "House 4 belongs to the guild", "House 5 …": the numbers are names
        if len(told) >= MOST_TOLD:
            return
        rarest = min(one.words, key=lambda word: len(homes[word]))
        near = [*homes[rarest][:MOST_COMPARED], *(each for each in facts if one.title and each.title == one.title)]
        for other in near:
            pair = (one.at, other.at) if one.at < other.at else (other.at, one.at)
            if one.at != other.at and pair not in told and one.values != other.values and _is_same(one, other):
                told.add(pair)
                first, second = (one, other) if one.at < other.at else (other, one)
                yield first.at, second.at, first.sentence, second.sentence


def _facts(at: int, placed: PlacedLore) -> Iterator[_Fact]:
    for sentence in sentences(placed.entry.text):
        words, values = _split(sentence)
        if values and len(words) >= LEAST_WORDS:
            yield _Fact(at, sentence, placed.entry.title.casefold().strip(), words, values)


def _split(sentence: str) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return a sentence's words without its numbers and times, and those: "two hundred" and "200" are one."""
    words: set[str] = set()
    values: list[str] = []
    number: list[int] = []

    def close() -> None:
        if number:
            values.append(str(_joined(number)))
            number.clear()

    for word in _WORD.findall(sentence.casefold().replace("’", "'")):
        if word in CARDINALS or word in SCALES or word in ORDINALS:
            number.append(CARDINALS.get(word) or SCALES.get(word) or ORDINALS.get(word, 0))
        elif word == "and" and number:
            continue
        else:
            close()
            if word[0].isdigit():
                digits = word.replace(",", "")
                values.append(digits.removesuffix(":00"))
            elif word in _TIMES:
                values.append(word)
            elif word not in _FILLER:
                words.add(_stem(word))
    close()
    return frozenset(words), tuple(values)


def _joined(parts: Sequence[int]) -> int:
    """Return the number of its words: two, hundred, five -> 205."""
    total = current = 0
    for part in parts:
        if part >= 1000:
            total += max(1, current) * part
            current = 0
        elif part == 100:
            current = max(1, current) * part
        else:
            current += part
    return total + current


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _is_same(one: _Fact, other: _Fact) -> bool:
    """Return whether two sentences say the same, numbers aside."""
    if one.words == other.words:
        return True
    common = len(one.words & other.words)
    fewer = min(len(one.words), len(other.words))
    if one.title and one.title == other.title:
        return common >= LEAST_WORDS and common / fewer >= SAME_TITLE
    # Without a title in common, one sentence may only say more than the other, and not much more.
    is_within = one.words <= other.words or other.words <= one.words
    return is_within and fewer >= 3 and fewer / max(len(one.words), len(other.words)) >= 0.75
