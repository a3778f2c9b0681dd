"""The search query: the player's words, reduced to those that distinguish one memory from another.

Raw speech is not a search expression: `"`, `(`, `*`, AND and NEAR have a meaning in FTS5, and most words of a question
are in every line. Without them, a search of a large table is fifty times faster and ranks better. The vector of a
question is made of all its words: there, word order and question words carry meaning.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mythicd.text.english.words import BARE_WORD

MAX_TERMS = 24
"""Most words of a query. Of a long speech the last words are kept, which matter most."""

STOP_WORDS = frozenset(
    """
    a about above after again all also am an and any anybody anyone anything are aren around as ask asked at away
    back be because been before being both but by bye came can cannot come comes coming could couldn did didn do
    does doesn doing don done down each ever every find for forget forgot forgotten from get gets getting give go
    goes going gone good goodbye got had hadn has hasn have haven having he hello help her here hers hey hi him his
    how i if in into is isn it its just kind know last let like little ll look looking lot made make makes many may
    maybe me mean meet met might more morning most much must my need no nor not now of off oh ok okay old on one
    only or other our ours out over own people perhaps please quite rather re really recall remember right said say
    says see seen shall she should so some somebody someone something soon sort spoke spoken still such sure talk
    talked tell than thank thanks that the their them then there these they thing things think this those though
    through time to today told tonight too two under until up us use ve very want wanted was wasn way we went were
    what whats when where which while who whom whose why will with without won would wouldn yes yesterday yet you
    your yours
    """.split()
)
"""English words that are in every question, greeting or line. `mine` and `well` are not among them: they are places."""

_RECALL = re.compile(
    r"\b(remember|recall|forg[eo]t(ten)?|last time|met before|seen before|know me|who i am"
    r"|we (talk|sp[eo]ak|spoke|meet|met)\w*|(i|you|we) (just |once )?(said|told|asked|talked|spoke|promised)"
    r"|did (i|you|we) (say|tell|ask|talk|promise))\b"
)
"""Questions about memory itself."""


@dataclass(frozen=True, slots=True)
class Query:
    """One search."""

    text: str
    """The words as they were said, which are embedded."""

    terms: tuple[str, ...]
    """Distinct words to search for, in lower case, letters and digits only."""

    context: frozenset[str] = frozenset()
    """Words of the intent and the scene. They order relevant lines, and do not make a line relevant."""

    recall: bool = False
    """Whether the player asks what the character remembers ("have we met before?")."""

    @property
    def expression(self) -> str:
        """The terms as an FTS5 expression; empty without terms."""
        return " OR ".join(f'"{term}"' for term in self.terms)


def build_query(words: str, *, previous: str = "", intent: str = "", scene_tags: Sequence[str] = ()) -> Query:
    """Make a query of the player's words.

    If they have no term ("and how much is it?"), the words before them (`previous`) are searched for as well.
    """
    text = " ".join(words.split())
    terms = content_words(text)
    if not terms and previous:
        text = " ".join(f"{previous} {text}".split())
        terms = content_words(text)
    context = frozenset(word for tag in (intent, *scene_tags) for word in content_words(tag))
    return Query(text, terms, context, recall=_RECALL.search(words.lower()) is not None)


def content_words(text: str) -> tuple[str, ...]:
    """Return the distinct words of a text that are not stop words, the last MAX_TERMS of them, in order."""
    found = [
        word for word in BARE_WORD.findall(text.lower()) if word not in STOP_WORDS and (len(word) > 1 or word.isdigit())
    ]
    return tuple(reversed(list(dict.fromkeys(reversed(found)))[:MAX_TERMS]))
