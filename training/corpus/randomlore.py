"""Random lore: sentences of ordinary words, so that the model learns to match words and not patterns."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from training.corpus.names import entity, qualified
from training.corpus.words import phrase, word, words


@dataclass(frozen=True, slots=True)
class Happening:
    """An event: who did what to whom, where and when."""

    subject: str
    verb: tuple[str, str, str]
    """Base form, third person, past."""
    thing: str
    spot: str
    when: str
    past: bool

    def sentence(self, rng: Random) -> str:
        """Return a sentence that tells it."""
        act = f"{self.subject} {self.verb[2] if self.past else self.verb[1]} {self.thing}"
        tail = [part for part in (self.spot, self.when) if part]
        if tail and rng.random() < 0.5:
            rng.shuffle(tail)
        roll = rng.random()
        if tail and roll < 0.2:
            return f"{tail[-1]} {' '.join([act, *tail[:-1]])}"
        text = " ".join([act, *tail])
        return f"{phrase('says', rng)} {text}" if roll > 0.85 else text

    def asks(self) -> list[str]:
        """Return questions that the sentence answers."""
        s, o, base = self.subject, self.thing, self.verb[0]
        verb = self.verb[2] if self.past else self.verb[1]
        do = "did" if self.past else "does"
        found = [
            f"who {verb} {o}",
            f"what {do} {s} {base}",
            f"{do} {s} {base} {o}",
            f"tell me about {s}",
            f"what do you know about {o}",
            f"who was it that {verb} {o}",
            f"what {do} {s} do with {o}",
            f"what about {s}",
            f"is it true that {s} {verb} {o}",
            f"do you know who {verb} {o}",
            f"what is it with {s} and {o}",
            f"anything about {o}",
            f"what happened to {o}" if self.past else f"who would {base} {o}",
            f"what {do} {s} do {self.when}".strip(),
            f"have you heard about {s}",
            f"i heard {s} {verb} something",
            f"someone told me about {o}",
            f"why would {s} {base} {o}",
        ]
        if self.spot:
            found += [
                f"where {do} {s} {base} {o}",
                f"what happened {self.spot}" if self.past else f"what happens {self.spot}",
                f"where was it that {s} {verb} {o}",
                f"do you know where {s} {verb} {o}",
                f"in what place {do} {s} {base} {o}",
            ]
        if self.when:
            found += [f"when {do} {s} {base} {o}", "since when", f"do you know when {s} {verb} {o}"]
            found.remove("since when")
        return found

    def unanswered(self) -> list[str]:
        """Return questions about the same things without an answer in the sentence."""
        s, o, base = self.subject, self.thing, self.verb[0]
        do = "did" if self.past else "does"
        found = [
            f"how much {do} {s} pay for {o}",
            f"how old is {s}",
            f"what colour is {o}",
            f"how heavy is {o}",
            f"who is married to {s}",
            f"what is the name of {s}'s mother",
            f"how many people saw {s}",
            f"what does {s} look like",
            f"who made {o}",
            f"how big is {o}",
            f"what does {s} eat",
            f"who does {s} work for",
            f"what is {o} made of",
            f"where was {s} born",
            f"does {s} have children",
            f"who taught {s}",
            f"what is {s} afraid of",
            f"where does {s} sleep",
            f"is {s} rich",
            f"how tall is {s}",
            f"what does {s} charge",
            f"when will {s} die",
            f"who is {s}'s best friend",
            f"how long is {o}",
            f"what language does {s} speak",
            f"who owned {o} before",
        ]
        if not self.spot:
            found += [f"where {do} {s} {base} {o}"] * 4
        if not self.when:
            found += [f"when {do} {s} {base} {o}"] * 4
        return found


_PLAIN_NOUNS = ("animal", "thingnoun", "trade", "boss", "kin", "placenoun")


def noun_phrase(rng: Random, *, alive: bool) -> str:
    """Return a random person or thing, with its article."""
    roll = rng.random()
    if alive:
        if roll < 0.45:
            return entity("person", rng).full
        noun = word(rng.choice(("animal", "trade", "boss")), rng)
    else:
        if roll < 0.4:
            return entity("thing", rng).full
        noun = word(rng.choice(_PLAIN_NOUNS), rng)
    return f"the {qualified(noun, rng)}" if roll > 0.6 else f"the {noun}"


def happening(rng: Random) -> Happening:
    """Return a new random event or habit."""
    verb = rng.choice(words("verb")).split(" ")
    past = rng.random() < 0.6
    when = ""
    if rng.random() < 0.45:
        when = word("past" if past else "often", rng)
    return Happening(
        subject=noun_phrase(rng, alive=rng.random() < 0.8),
        verb=(verb[0], verb[1], verb[2]),
        thing=noun_phrase(rng, alive=rng.random() < 0.2),
        spot=entity("spot", rng).full if rng.random() < 0.5 else "",
        when=when,
        past=past,
    )
