"""Weighted word triples of what players of this world may say: wordings × names, and the lore.

All wordings with all names would be millions of sentences, and a trigram model uses only two words of context. So the
triples of the wordings are counted once, with their slots (`_templates`), and then every name of the world is put into
each triple with a slot, with its share of the weight (`_fill`). A wording thus weighs the same in a world of three
names and of three hundred. Sentences are padded `<s> <s> … </s>`; counts of one and two words are sums
(`ngram_model.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from mythicd.asr.pocketsphinx.phrase_patterns import Sentence, expand
from mythicd.asr.pocketsphinx.player_phrases import CONTRACTED, CONTRACTIONS, ENDINGS, OPENINGS, REACTIONS, WORDINGS
from mythicd.engines.asr import Vocabulary
from mythicd.text.english.function_words import ARTICLES
from mythicd.text.english.plurals import plural
from mythicd.text.spoken_words import spoken_words

BEGIN: Final = "<s>"
END: Final = "</s>"
SLOTS: Final = frozenset({"{place}", "{person}", "{topic}", "{item}", "{items}"})

Triple = tuple[str, str, str]

_MOST_WAYS = 600
"""Expansions of one wording that are counted; of more every n-th is taken, since their triples repeat anyway."""
_BARE, _OPENED, _ENDED, _CONTRACTED = 0.7, 0.2, 0.1, 0.35
"""Shares of a sentence alone, after an opening, before an ending; and the share of contracted forms."""
_POLITE = frozenset({"hours", "where", "way", "price", "trade", "who", "what", "often", "truth", "help", "gesture"})
"""Sections of questions and requests, which are also counted with openings and endings."""
_LORE_WEIGHT = 1.5
"""Weight of one line of lore; a wording with one expansion weighs 1."""
_NAME_ALONE = 12.0
"""Weight of all names alone, as an answer to "who?"."""


@dataclass(frozen=True, slots=True)
class _Templates:
    """The wordings' triples with slots. A triple with several slots is in the table of each position."""

    plain: dict[Triple, float]
    """Without a slot."""
    left: dict[Triple, float]
    """Two tokens before a slot, and the slot."""
    middle: dict[Triple, float]
    """A slot between two tokens."""
    right: dict[Triple, float]
    """A slot, and two tokens after it; the second is empty after the end."""


def triples(vocabulary: Vocabulary) -> dict[Triple, float]:
    """Return the weight of every triple of words that players of the world may say."""
    counts = _fill(_templates(), fillings(vocabulary))
    for line in vocabulary.lines:
        for part in _clauses(line):
            _count(counts, tuple(spoken_words(part)), _LORE_WEIGHT)
    return dict(counts)


def reactions() -> dict[Triple, float]:
    """Return the weight of every triple of words in short reactions."""
    counts: defaultdict[Triple, float] = defaultdict(float)
    for line in REACTIONS:
        for way in expand(line.strip()):
            _count(counts, way, 1.0)
    return dict(counts)


def fillings(vocabulary: Vocabulary) -> dict[str, list[tuple[Sentence, float]]]:
    """Return each slot's fillings with their shares, which sum to 1."""
    people = [way for name in vocabulary.people for way in _said(name, proper_takes_article=False)]
    places = [way for name in vocabulary.places for way in _said(name, proper_takes_article=True)]
    items = [words for name in vocabulary.items if (words := _without_article(name))]
    things = [way for name in vocabulary.items for way in _said(name, proper_takes_article=True)]
    topics = [way for name in vocabulary.topics for way in _said(name, proper_takes_article=True)]
    return {
        "{person}": _shared(people),
        "{place}": _shared(places),
        "{item}": _shared([(words, 1.0) for words in items]),
        "{items}": _shared([((*words[:-1], plural(words[-1])), 1.0) for words in items]),
        "{topic}": _shared(people + places + things + topics),
    }


@cache
def _templates() -> _Templates:
    """Count the wordings. They are constants, so this is done once per process."""
    templates = _Templates({}, {}, {}, {})
    openings = [tuple(opening.split()) for opening in OPENINGS]
    endings = [tuple(ending.split()) for ending in ENDINGS]
    turn = 0
    for section, (importance, phrases) in WORDINGS.items():
        for line in phrases:
            ways = expand(line)
            ways = ways[:: -(-len(ways) // _MOST_WAYS)]
            share = importance * len(ways) ** 0.5 / len(ways)
            for way in ways:
                turn += 1
                polite = section in _POLITE
                for sentence, part in _variants(way):
                    _count_template(templates, sentence, share * part * (_BARE if polite else 1.0))
                if polite:
                    # The lengths of the lists have no common factor with the number of ways, so all pairs occur.
                    _count_template(templates, openings[turn % len(openings)] + way, share * _OPENED)
                    _count_template(templates, way + endings[turn % len(endings)], share * _ENDED)
    _count_template(templates, ("{topic}",), _NAME_ALONE)
    return templates


def _variants(way: Sentence) -> Iterator[tuple[Sentence, float]]:
    """Yield the sentence, and its contracted form if it has one, with their shares."""
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


def _count_template(templates: _Templates, sentence: Sentence, weight: float) -> None:
    tokens = (BEGIN, BEGIN, *sentence, END, "")
    for triple in zip(tokens, tokens[1:], tokens[2:], strict=False):
        for token, kind in zip(triple, (templates.right, templates.middle, templates.left), strict=True):
            if token in SLOTS:
                _add(kind, triple, weight)
        if triple[2] and not SLOTS.intersection(triple):
            _add(templates.plain, triple, weight)


def _fill(templates: _Templates, names: Mapping[str, list[tuple[Sentence, float]]]) -> defaultdict[Triple, float]:
    """Return the counts of triples with every slot filled with every name.

    In a triple with two slots the right one is filled with one name in turn: all pairs would be many, and the model's
    back-off covers them anyway.
    """
    counts = defaultdict[Triple, float](float, templates.plain)
    before: defaultdict[tuple[str, str], float] = defaultdict(float)
    behind: defaultdict[tuple[str, str], float] = defaultdict(float)
    whole: defaultdict[str, float] = defaultdict(float)
    for (left2, left1, slot), weight in templates.left.items():
        whole[slot] += weight
        if left1 in SLOTS:
            continue
        before[left1, slot] += weight
        if left2 in SLOTS:
            continue
        for name, share in names[slot]:
            counts[left2, _article(left1, name), name[0]] += weight * share
    for (left1, slot, right1), weight in templates.middle.items():
        behind[slot, right1] += weight
        if left1 in SLOTS:
            continue
        for turn, (name, share) in enumerate(names[slot]):
            if len(name) == 1 and (right := _right((right1,), turn, names)):
                counts[_article(left1, name), name[0], right[0]] += weight * share
    for (slot, right1, right2), weight in templates.right.items():
        for turn, (name, share) in enumerate(names[slot]):
            right = _right((right1, right2), turn, names)
            if len(right) > 1:
                counts[name[-1], right[0], right[1]] += weight * share
    for (left1, slot), weight in before.items():
        for name, share in names[slot]:
            if len(name) > 1:
                counts[_article(left1, name), name[0], name[1]] += weight * share
    for (slot, right1), weight in behind.items():
        for turn, (name, share) in enumerate(names[slot]):
            if len(name) > 1 and (right := _right((right1,), turn, names)):
                counts[name[-2], name[-1], right[0]] += weight * share
    for slot, weight in whole.items():
        for name, share in names[slot]:
            for triple in zip(name, name[1:], name[2:], strict=False):
                counts[triple] += weight * share
    return counts


def _article(left: str, name: Sentence) -> str:
    return "an" if left == "a" and name[0][0] in "aeiou" else left


def _right(tokens: Sentence, turn: int, names: Mapping[str, list[tuple[Sentence, float]]]) -> Sentence:
    """Return the words after a name; for another slot, one of its names in turn."""
    words: Sentence = ()
    for token in tokens:
        if token in SLOTS:
            options = names[token]
            words += options[turn * 7 % len(options)][0] if options else ()
        elif token:
            words += (token,)
    return words


def _add(counts: dict[Triple, float], triple: Triple, weight: float) -> None:
    counts[triple] = counts.get(triple, 0.0) + weight


def _count(counts: defaultdict[Triple, float], words: Sentence, weight: float) -> None:
    if words:
        tokens = (BEGIN, BEGIN, *words, END)
        for triple in zip(tokens, tokens[1:], tokens[2:], strict=False):
            counts[triple] += weight


def _clauses(line: str) -> Iterable[str]:
    """Split lore where a speaker would pause: words on both sides of a comma are not a sequence to expect."""
    return line.translate(str.maketrans(";:,.!?()\N{EM DASH}", "\n" * 9)).splitlines()


def _without_article(name: str) -> Sentence:
    words = tuple(spoken_words(name))
    return words[1:] if len(words) > 1 and words[0] in ARTICLES else words


def _said(name: str, *, proper_takes_article: bool) -> list[tuple[Sentence, float]]:
    """Return a name with "the" and without it, with shares that depend on its spelling."""
    words = _without_article(name)
    if not words:
        return []
    proper = name.strip()[:1].isupper()
    if spoken_words(name)[0] in ARTICLES:
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
