"""Everything a player of this world may be expected to say, as weighted word triples: wordings × names, and the lore.

Writing out every wording with every name would be millions of sentences that differ in one place. A trigram model sees
no further than two words, so it is enough to

1. count the triples of the wordings with the slots still in them, once (`_templates`), keeping for every slot what
   stands two words to its left and right;
2. fill each such window with every name of the world, each with its share of the window's weight, and count the
   triples that hold at least one word of the name.

A wording thus weighs the same in a world of three names and of three hundred. Sentences are padded `<s> <s> … </s>`;
two- and one-word counts follow by summing (`language.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from mythicd.asr.patterns import Sentence, expand
from mythicd.asr.wordings import CONTRACTED, CONTRACTIONS, ENDINGS, OPENINGS, WORDINGS
from mythicd.asr.words import spoken_words
from mythicd.engines import Vocabulary

BEGIN: Final = "<s>"
END: Final = "</s>"
SLOTS: Final = frozenset({"{place}", "{person}", "{topic}", "{item}", "{items}"})

Triple = tuple[str, str, str]

_MOST_WAYS = 600
"""Expansions of one wording that are counted; of richer ones every n-th is taken: their triples repeat anyway."""
_BARE, _OPENED, _ENDED, _CONTRACTED = 0.7, 0.2, 0.1, 0.35
"""Shares of a sentence said plainly, behind an opening, before an ending; and how much of it is (also) contracted."""
_POLITE = frozenset({"hours", "where", "way", "price", "trade", "who", "what", "often", "truth", "help", "gesture"})
"""Sections whose sentences are questions and requests, which openings and endings go with."""
_LORE_WEIGHT = 1.5
"""Weight of one line of lore; a wording said in one way weighs 1."""
_NAME_ALONE = 12.0
"""Weight of all names said by themselves, as an answer to "who?"."""
_ARTICLES = frozenset({"the", "a", "an"})


@dataclass(frozen=True, slots=True)
class _Templates:
    """The wordings, counted with their slots still open."""

    triples: Mapping[Triple, float]
    """Triples without a slot."""
    windows: Mapping[tuple[str, str, str, str, str], float]
    """Two tokens, a slot, two tokens."""


def triples(vocabulary: Vocabulary) -> dict[Triple, float]:
    """Return the weight of every triple of words that the world makes likely."""
    templates = _templates()
    counts: defaultdict[Triple, float] = defaultdict(float)
    for triple, weight in templates.triples.items():
        counts[triple] += weight
    names = fillings(vocabulary)
    for window, weight in templates.windows.items():
        _fill(counts, window, weight, names)
    for line in vocabulary.lines:
        for part in _clauses(line):
            _count(counts, tuple(spoken_words(part)), _LORE_WEIGHT)
    return dict(counts)


def fillings(vocabulary: Vocabulary) -> dict[str, list[tuple[Sentence, float]]]:
    """Return for each slot what it may be filled with, and each filling's share (the shares of a slot sum to 1)."""
    people = [way for name in vocabulary.people for way in _said(name, proper_takes_article=False)]
    places = [way for name in vocabulary.places for way in _said(name, proper_takes_article=True)]
    items = [words for name in vocabulary.items if (words := _without_article(name))]
    things = [way for name in vocabulary.items for way in _said(name, proper_takes_article=True)]
    topics = [way for name in vocabulary.topics for way in _said(name, proper_takes_article=True)]
    return {
        "{person}": _shared(people),
        "{place}": _shared(places),
        "{item}": _shared([(words, 1.0) for words in items]),
        "{items}": _shared([((*words[:-1], _plural(words[-1])), 1.0) for words in items]),
        "{topic}": _shared(people + places + things + topics),
    }


@cache
def _templates() -> _Templates:
    """Count the wordings. They are constants, so this is done once per process."""
    plain: defaultdict[Triple, float] = defaultdict(float)
    windows: defaultdict[tuple[str, str, str, str, str], float] = defaultdict(float)
    openings = [tuple(opening.split()) for opening in OPENINGS]
    endings = [tuple(ending.split()) for ending in ENDINGS]
    turn = 0
    for section, (importance, text) in WORDINGS.items():
        for line in text.strip().splitlines():
            ways = expand(line)
            ways = ways[:: -(-len(ways) // _MOST_WAYS)]
            share = importance * len(ways) ** 0.5 / len(ways)
            for way in ways:
                turn += 1
                polite = section in _POLITE
                for sentence, part in _variants(way):
                    _count_template(plain, windows, sentence, share * part * (_BARE if polite else 1.0))
                if polite:
                    # The lists' lengths have no common factor with what they walk beside, so all pairs come about.
                    _count_template(plain, windows, openings[turn % len(openings)] + way, share * _OPENED)
                    _count_template(plain, windows, way + endings[turn % len(endings)], share * _ENDED)
    _count_template(plain, windows, ("{topic}",), _NAME_ALONE)
    return _Templates(dict(plain), dict(windows))


def _variants(way: Sentence) -> Iterator[tuple[Sentence, float]]:
    """Yield the sentence, and its contracted form where it has one, with their shares."""
    short: list[str] = []
    for word in way:
        pair = (short[-1], word) if short else ("", word)
        if pair in CONTRACTIONS:
            short[-1] = CONTRACTIONS[pair]
        else:
            short.append(CONTRACTED.get(word, word))
    if tuple(short) == way:
        yield way, 1.0
    else:
        yield way, 1.0 - _CONTRACTED
        yield tuple(short), _CONTRACTED


def _count_template(
    plain: defaultdict[Triple, float],
    windows: defaultdict[tuple[str, str, str, str, str], float],
    sentence: Sentence,
    weight: float,
) -> None:
    tokens = (BEGIN, BEGIN, *sentence, END, END)
    for at in range(2, len(tokens) - 1):
        triple = (tokens[at - 2], tokens[at - 1], tokens[at])
        if not SLOTS.intersection(triple):
            plain[triple] += weight
        if tokens[at] in SLOTS:
            windows[(tokens[at - 2], tokens[at - 1], tokens[at], tokens[at + 1], tokens[at + 2])] += weight


def _fill(
    counts: defaultdict[Triple, float],
    window: tuple[str, str, str, str, str],
    weight: float,
    names: Mapping[str, list[tuple[Sentence, float]]],
) -> None:
    """Count the triples that hold a word of the slot's name. Those that reach into a slot further left are counted there."""
    left2, left1, slot, right1, right2 = window
    for turn, (name, share) in enumerate(names[slot]):
        left = ("" if left2 in SLOTS or left1 in SLOTS else left2, "" if left1 in SLOTS else left1)
        if left[1] == "a" and name[0][0] in "aeiou":
            left = (left[0], "an")
        right = _right(right1, turn, names) + (_right(right2, turn, names) if right1 != END else ())
        tokens = left + name + right[:2]
        for at in range(2, len(tokens)):
            triple = (tokens[at - 2], tokens[at - 1], tokens[at])
            if "" not in triple and at - 2 < 2 + len(name):
                counts[triple] += weight * share


def _right(token: str, turn: int, names: Mapping[str, list[tuple[Sentence, float]]]) -> Sentence:
    """Return a word to the right of a name; for another slot, one of its names in turn."""
    if token not in SLOTS:
        return (token,)
    options = names[token]
    return options[turn * 7 % len(options)][0] if options else ()


def _count(counts: defaultdict[Triple, float], words: Sentence, weight: float) -> None:
    if words:
        tokens = (BEGIN, BEGIN, *words, END)
        for triple in zip(tokens, tokens[1:], tokens[2:], strict=False):
            counts[triple] += weight


def _clauses(line: str) -> Iterable[str]:
    """Cut lore where a voice would pause: what stands on both sides of a comma is no sequence of words to expect."""
    return line.translate(str.maketrans(";:,.!?()\N{EM DASH}", "\n" * 9)).splitlines()


def _without_article(name: str) -> Sentence:
    words = tuple(spoken_words(name))
    return words[1:] if len(words) > 1 and words[0] in _ARTICLES else words


def _said(name: str, *, proper_takes_article: bool) -> list[tuple[Sentence, float]]:
    """Return how a name is said inside a sentence: with "the", without, or both where its spelling doesn't tell."""
    words = _without_article(name)
    if not words:
        return []
    proper = name.strip()[:1].isupper()
    if spoken_words(name)[0] in _ARTICLES:
        with_article = 0.95
    elif proper:
        # Captain Reed, Lanternport; but the Gilded Gull, the Fish Market
        with_article = 0.75 if proper_takes_article and len(words) > 1 else 0.1
    else:
        with_article = 0.8 if proper_takes_article else 0.5
    return [(("the", *words), with_article), (words, 1.0 - with_article)]


def _shared(ways: Iterable[tuple[Sentence, float]]) -> list[tuple[Sentence, float]]:
    """Merge equal fillings and scale the weights to sum to 1."""
    merged: defaultdict[Sentence, float] = defaultdict(float)
    for words, weight in ways:
        merged[words] += weight
    total = sum(merged.values())
    return [(words, weight / total) for words, weight in merged.items()]


def _plural(noun: str) -> str:
    if noun.endswith("s") and not noun.endswith("ss"):
        return noun
    if noun.endswith(("ss", "sh", "ch", "x", "z")):
        return noun + "es"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"
