"""Truecasing: capitals for a reply of a lower-case language model, character for character, while it streams.

Capitals are restored at the starts of sentences, in "I", and in names, which are learned from texts that have them. A
word that is capitalised within a sentence is part of a name. If it never occurs in lower case ("Gilded"), it is always
one; if it does ("the old chapel", "Old Tobin"), only where the whole name stands. The output has the length of the
input, so offsets into a reply stay valid. Held back are only an unfinished word and the beginning of a longer name
("old …"). From the first capital that the model writes itself, everything passes unchanged.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from mythicd.text.english.sentences import sentences
from mythicd.text.english.words import FIRST_PERSON, WORD, straight_apostrophes

_TOKEN = re.compile(rf"{WORD.pattern}|.", re.DOTALL)
_SUFFIX = re.compile(r"['’](?:s|ll|d|re|ve)$")
_WITHIN_NAMES = frozenset(("of", "the", "and", "de", "la", "von", "van"))
_NEVER_NAMES = frozenset(
    "a an the this that these those some no every each my your his her its our their i you he she it we they who what "
    "which when where why how if as at by for from in into of on to with and but or so not is are was were do does did "
    "there here then now never always often only yes please ask tell".split()
)
_OPENERS = frozenset("\"'“‘([{-–—*¿¡")
_CLOSERS = frozenset("\"'”’)]}*")
_LONGEST_NAME = 6


def capitalised(text: str) -> bool:
    """Tell whether any letter of the text is a capital."""
    return any(c.isupper() or c.istitle() for c in text)


class NameCasing:
    """The names in some texts, and how they are written."""

    def __init__(self, texts: Iterable[str], names: Iterable[str] = ()) -> None:
        """Learn from `texts`, which are ordinary sentences, and `names`, in which the first capital counts, too."""
        lower: Counter[str] = Counter()
        capital: dict[str, Counter[str]] = defaultdict(Counter)
        runs: list[list[str]] = []
        for text, is_name in (*((t, False) for t in texts), *((n, True) for n in names)):
            for sentence in _sentences(text):
                for index, word in enumerate(sentence):
                    base = _SUFFIX.sub("", word)
                    if not capitalised(base):
                        lower[base] += 1
                    elif (index or is_name) and not _is_first_person(word.lower()):
                        capital[base.lower()][base] += 1
                runs += _runs(sentence, everything=is_name)
        self._words = {
            word: forms.most_common(1)[0][0]
            for word, forms in capital.items()
            if word not in lower and _same_length(word, forms)
        }
        self._sequences: dict[tuple[str, ...], tuple[str, ...]] = {}
        for run in runs:
            key = tuple(word.lower() for word in run)
            if len(run) > 1 and all(len(a) == len(b) for a, b in zip(key, run, strict=True)):
                self._sequences.setdefault(key, tuple(run))
        self._beginnings = {key[:n] for key in self._sequences for n in range(1, len(key))}

    def word(self, word: str) -> str:
        """Return a lower-case word as it is written by itself; a possessive ending stays as it is."""
        base = _SUFFIX.sub("", word)
        return self._words.get(word) or self._words.get(base, base) + word[len(base) :]

    def longest(self, words: list[str]) -> tuple[str, ...]:
        """Return the longest name of several words that these begin with, as it is written; empty if none."""
        for length in range(min(len(words), _LONGEST_NAME), 1, -1):
            key = (*words[: length - 1], _SUFFIX.sub("", words[length - 1]))
            if found := self._sequences.get(key):
                return (*found[:-1], found[-1] + words[length - 1][len(key[-1]) :])
        return ()

    def may_begin(self, words: list[str]) -> bool:
        """Tell whether a longer name begins with these words."""
        return tuple(words) in self._beginnings


def _same_length(word: str, forms: Iterable[str]) -> bool:
    return all(len(form) == len(word) for form in forms)


def _sentences(text: str) -> Iterator[list[str]]:
    """Yield the sentences of a text, each as words; a line end also ends a sentence."""
    for line in text.split("\n"):
        for sentence in sentences(line, any_case=True):
            if words := WORD.findall(sentence):
                yield words


def _is_first_person(word: str) -> bool:
    return straight_apostrophes(word) in FIRST_PERSON


def _runs(sentence: list[str], *, everything: bool) -> Iterator[list[str]]:
    """Yield the runs of capitalised words, with small words inside but not at their ends."""
    run: list[str] = []
    for index, word in enumerate([*sentence, ""]):
        begins_sentence = index == 0 and not everything and word.lower() in _NEVER_NAMES
        if capitalised(word) and not begins_sentence:
            run.append(_SUFFIX.sub("", word))
        elif run and word and (everything or word in _WITHIN_NAMES):
            run.append(word)
        else:
            del run[_LONGEST_NAME:]
            while run and not capitalised(run[-1]):
                run.pop()
            if run:
                yield run
                yield from _unbroken(run)
            run = []


def _unbroken(run: list[str]) -> Iterator[list[str]]:
    """Yield the parts of a run without small words: "Hale of the Sea Lark" also contains "Sea Lark"."""
    part: list[str] = []
    for word in [*run, ""]:
        if capitalised(word):
            part.append(word)
        else:
            if len(part) < len(run):
                yield part
            part = []


class Truecaser:
    """The truecaser of one reply, as it streams."""

    def __init__(self, names: NameCasing) -> None:
        self._names = names
        self._held = ""
        self._at_start = True
        self._ended = False
        self._previous = ""
        self._unchanged = False

    def add(self, chunk: str) -> str:
        """Take the next piece of the reply; return the text that is decided."""
        self._held += chunk
        return self._release(final=False)

    def finish(self) -> str:
        """Take the end of the reply; return the rest."""
        return self._release(final=True)

    def _release(self, *, final: bool) -> str:
        done: list[str] = []
        tokens = _TOKEN.findall(self._held)
        whole = len(tokens) if final else _finished(tokens)
        at = 0
        while at < whole:
            token = tokens[at]
            if self._unchanged or capitalised(token):
                self._unchanged = True
                done.append(token)
                at += 1
            elif WORD.fullmatch(token):
                words, places = _words_from(tokens, at, whole)
                if not final and self._names.may_begin(words) and _still_open(tokens, places[-1], whole):
                    break
                written = self._names.longest(words) or (self._written(token),)
                for index, form in enumerate(written):
                    if self._at_start:
                        form = _upper_first(form)
                    done += tokens[at : places[index]]
                    done.append(form)
                    at = places[index] + 1
                    self._at_start = self._ended = False
                    self._previous = form[-1]
            else:
                self._pass(token)
                done.append(token)
                at += 1
        self._held = "".join(tokens[at:])
        return "".join(done)

    def _written(self, word: str) -> str:
        return _upper_first(word) if _is_first_person(word) else self._names.word(word)

    def _pass(self, mark: str) -> None:
        """Take a character between words: does the next word begin a sentence?"""
        if mark in ".!?":
            # "well... maybe" goes on
            self._ended = not (mark == "." and self._previous == ".")
        elif mark.isspace():
            self._at_start = self._at_start or self._ended or mark == "\n"
        elif not (mark in _CLOSERS and self._ended) and not (mark in _OPENERS and self._at_start):
            self._ended = self._at_start = False
        self._previous = mark


def _upper_first(word: str) -> str:
    first = word[0].upper()
    return first + word[1:] if len(first) == 1 else word


def _finished(tokens: list[str]) -> int:
    """Return how many tokens are complete: the last word, and an apostrophe after it, may still grow."""
    count = len(tokens)
    if count and tokens[-1] in "'’" and count > 1 and WORD.fullmatch(tokens[-2]):
        return count - 2
    return count - 1 if count and WORD.fullmatch(tokens[-1]) else count


def _words_from(tokens: list[str], at: int, whole: int) -> tuple[list[str], list[int]]:
    """Return the words separated by single spaces from `at` on, and their places."""
    words, places = [tokens[at]], [at]
    while len(words) < _LONGEST_NAME and places[-1] + 2 < whole and tokens[places[-1] + 1].isspace():
        if not WORD.fullmatch(tokens[places[-1] + 2]):
            break
        places.append(places[-1] + 2)
        words.append(tokens[places[-1]])
    return words, places


def _still_open(tokens: list[str], last: int, whole: int) -> bool:
    """Tell whether the word after the one at `last` is not known yet: only a space follows it."""
    return last + 1 >= whole or (tokens[last + 1].isspace() and last + 2 >= whole)
