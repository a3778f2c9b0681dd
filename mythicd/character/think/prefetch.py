"""What a character does while the player still speaks: it remembers, and its model reads ahead.

    the words so far ──> search ──> sections ──> prepare(history, sections, the words that are stable)

A turn's message ends with the player's words, and what was found stands before them (dialogue/prompt.py). So while the
sections stay, the model only has to read the words that are new; when the turn is over, hardly anything is left to do.

1. Searched are all words so far, for the last one is often what the question is about; prepared are those that no
   later partial takes back. Of 85 questions in two towns, asked word by word with the last two not stable yet, what was
   found on the first three stable words held what the whole question calls for in 32 %, on all words at that moment in
   79 %, and looked at again with each word in all of them, with 22 replacements.
2. What the model has read stays, and what later words call for comes behind it (`Found.joined`); what it has not read,
   and no word calls for any more, goes. So a recogniser that takes a word for another one, and back, costs no more than
   what was read between. On a slow machine (11 ms a token) that made of 31 tokens left behind "when is the harbor
   office open", of which pocketsphinx hears "sell" for 60 ms, 6, and of 21 to 58 behind "when does the tavern close" 6.
3. Where the recogniser takes back the word that called for what is read ("ferry", now "finn really"), and the new words
   call for none of that, they are believed when what they call for has been called for BELIEVED_S: mostly the old ones
   come back.
4. Nothing of it is true: nothing is written down or told, and what failed is neither reported nor used up.
5. The model is asked only while the player alone has the floor. Before a character that is talked over has fallen
   silent, nobody knows what of its reply was heard, and that is what the prompt's history must say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Set
from dataclasses import dataclass, field, replace
from typing import Protocol

from mythicd.asr.transcript import Partial
from mythicd.character.think.context import SPARE_TOKENS, Found
from mythicd.concurrency.background_task import SideWork
from mythicd.dialogue.prompt import Sections, read_until
from mythicd.engines.llm import Llm, Prompt, Reading
from mythicd.memory.query import content_words
from mythicd.text.spoken_words import spoken_words

FEW_WORDS = 3
"""Stable words from which a look ahead is worth it though nothing was found; fewer, when they are all there is: then
the player pauses."""
STOOD_S = 0.15
"""How long lines must have been there to be read to their end, though the words have just become others."""
BELIEVED_S = 0.4
"""How long words must have called for something else to be believed, where they have taken back words that stood.
pocketsphinx hears "finn really" in "ferry leave" for 110 to 300 ms."""
MOST_CHANGES = 8
"""How often something may come to what was found while the player speaks."""


class Mind(Protocol):
    """What is looked ahead with (thought.Thought)."""

    async def anticipate(self, words: str) -> None:
        """Embed what the player has said so far."""

    async def glance(self, turn_id: str, words: str) -> Found:
        """Search memory, without a trace."""

    def turn_prompt(self, words: str, sections: Sections) -> Prompt:
        """The prompt of a turn with these words."""


@dataclass(slots=True)
class _Glimpse:
    """One turn, before its words are final."""

    turn_id: str = ""
    last: Partial | None = None
    """What was heard last."""
    is_new: bool = False
    """Whether that was not looked at yet."""
    found: Found | None = None
    since: dict[str, float] = field(default_factory=dict)
    """Line of what was found -> since when it is there, on the clock of `Partial.at_s`."""
    words: str = ""
    """The last words that called for any of it."""
    theirs: Set[str] = frozenset()
    """The lines that they called for."""
    called: dict[str, float] = field(default_factory=dict)
    """Line that the last words of all called for -> since when all words do, on the same clock."""
    changes: int = 0
    prepared: str | None = None
    """The words that the model was asked to read ahead; None before it was."""
    readings: list[tuple[Sections, Reading]] = field(default_factory=list)
    """What the model was asked to read, and how far it is with it; of those it has begun, only the last."""
    over: bool = True
    """Whether the turn goes on without it."""


class LookAhead:
    """One character's looks ahead: one at a time, and each sees all that was said until then.

    The model is not waited for: it goes on from where it has got as soon as there is more to read, or other.
    """

    def __init__(
        self,
        npc_id: str,
        llm_id: str,
        mind: Mind,
        llm: Llm,
        *,
        is_free: Callable[[], bool],
        ready: Callable[[], Awaitable[None]],
    ) -> None:
        """`is_free` tells whether the player alone has the floor; `ready` waits until nothing else of the character's
        is with the model. `llm_id` is what the model knows it by."""
        self._llm_id = llm_id
        self._mind = mind
        self._llm = llm
        self._is_free = is_free
        self._ready = ready
        self._side = SideWork(f"{npc_id} looks ahead")
        self._reading = SideWork(f"{npc_id} reads ahead")
        self._doubt = SideWork(f"{npc_id} waits for words to stand")
        self._glimpse = _Glimpse()
        self._to_undo = False

    def open(self, turn_id: str) -> None:
        """The player begins to speak."""
        self._glimpse.over = True
        self._glimpse = _Glimpse(turn_id, over=False)

    def hear(self, partial: Partial) -> None:
        """More of the words is known."""
        self._glimpse.last, self._glimpse.is_new = partial, True
        self._side.begin(self._look)

    def resume(self) -> None:
        """The player has the floor alone now: what was heard before is worth more than it was."""
        if self._glimpse.last is not None and not self._glimpse.over:
            self.hear(self._glimpse.last)

    def commit(self) -> Found | None:
        """The words are final; return what was found, and what of it was read; None when nothing was prepared."""
        glimpse = self._glimpse
        glimpse.over = True
        if glimpse.prepared is None or glimpse.found is None:
            return None
        return replace(glimpse.found, read=_has_read(glimpse))

    def reopen(self) -> None:
        """The words were not final after all: look on where it was left."""
        if self._glimpse.turn_id:
            self._glimpse.over = False

    def drop(self) -> None:
        """Nothing comes of these words, or no reply of the model's: what it has read is to be taken back (`undo`)."""
        self._glimpse.over = True
        self._to_undo = self._to_undo or self._glimpse.prepared is not None

    async def undo(self) -> None:
        """Take back what was prepared for nothing."""
        if self._to_undo:
            await self._rest()
            self._to_undo = False
            await self._llm.rollback(self._llm_id)

    async def stop(self) -> None:
        """Look no more."""
        self._glimpse.over = True
        await self._rest()

    async def _rest(self) -> None:
        await self._doubt.stop()
        await self._side.stop()
        await self._reading.stop()

    async def _look(self) -> None:
        while self._glimpse.is_new and not self._glimpse.over:
            glimpse = self._glimpse
            glimpse.is_new = False
            assert glimpse.last is not None, "what is new was heard"
            await self._see(glimpse, glimpse.last)

    async def _see(self, glimpse: _Glimpse, partial: Partial) -> None:
        if not (self._llm.abilities.prepares and self._is_free()):
            await self._mind.anticipate(partial.text)
            return
        found = await self._mind.glance(glimpse.turn_id, partial.text)
        called = _called(found)
        glimpse.called = {line: glimpse.called.get(line, partial.at_s) for line in called}
        if glimpse.found is None:
            count = len(partial.stable.split())
            # Words that say nothing themselves find what was talked about before.
            tells = found.is_telling and bool(content_words(partial.text))
            if not (tells or count >= FEW_WORDS or (count > 0 and partial.stable == partial.text)):
                return
            self._take(glimpse, found, partial)
        else:
            joined: Found | None = None
            shares = not called.isdisjoint(_called(glimpse.found))
            if shares:
                glimpse.words, glimpse.theirs = partial.text, called
            if not shares and _is_doubtful(glimpse, partial):
                believed_s = _believed_s(glimpse)
                self._doubt.instead(lambda: self._look_again(glimpse, partial, believed_s))
            else:
                joined = self._with_news(glimpse, found, partial.at_s)
            if joined is not None:
                glimpse.changes += _adds(joined, glimpse.found)
                self._take(glimpse, joined, partial)
            elif glimpse.prepared == partial.stable:
                return
        self._reading.instead(lambda: self._read(glimpse, partial.stable))

    async def _look_again(self, glimpse: _Glimpse, partial: Partial, believed_s: float) -> None:
        """Believe these words, which are in doubt, if they are still the last then."""
        await asyncio.sleep(believed_s - partial.at_s)
        if glimpse.last is partial and not glimpse.over:
            self.hear(replace(partial, at_s=believed_s))  # to the bit: by then they are in doubt no more

    async def _read(self, glimpse: _Glimpse, stable: str) -> None:
        await self._ready()
        if not glimpse.over and self._is_free():
            assert glimpse.found is not None, "there is something to read"
            glimpse.prepared = stable
            sections, reading = glimpse.found.sections, Reading()
            glimpse.readings.append((sections, reading))
            await self._llm.prepare(self._llm_id, self._mind.turn_prompt(stable, sections), reading)

    def _with_news(self, glimpse: _Glimpse, found: Found, at_s: float) -> Found | None:
        """Return what belongs into the prompt now; None when it is what is there, half a word calls for nothing, or too
        much was called for already."""
        assert glimpse.found is not None
        if glimpse.found.is_telling and not found.is_telling:
            return None
        read, there, spare = _has_read(glimpse), glimpse.found.sections, SPARE_TOKENS
        if _adds(found, glimpse.found):
            # Other words, for now. What was called for by words that stood is read to its end first; if it is not
            # called for in the end, it goes again.
            spare *= 2
            lore, recent = (
                tuple(line for line in lines if line in done or at_s - glimpse.since.get(line, at_s) >= STOOD_S)
                for lines, done in ((there.lore, read.lore), (there.recent, read.recent))
            )
            read = Sections(lore, recent)
        joined = replace(glimpse.found, read=read).joined(found, spare)
        is_too_much = glimpse.changes >= MOST_CHANGES and _adds(joined, glimpse.found)
        return None if joined.sections == there or is_too_much else joined

    def _take(self, glimpse: _Glimpse, found: Found, partial: Partial) -> None:
        lines = (*found.sections.lore, *found.sections.recent)
        glimpse.since = {line: glimpse.since.get(line, partial.at_s) for line in lines}
        glimpse.found, glimpse.words, glimpse.theirs = found, partial.text, frozenset(glimpse.called)


def _called(found: Found) -> frozenset[str]:
    """Return the lines that words called for: all but those that every turn is told."""
    return frozenset((*found.sections.lore, *found.sections.recent)).difference(found.failures)


def _adds(found: Found, to: Found) -> bool:
    """Whether there are lines in it that are not in the other."""
    lines, there = found.sections, to.sections
    return not (set(lines.lore) <= set(there.lore) and set(lines.recent) <= set(there.recent))


def _is_doubtful(glimpse: _Glimpse, partial: Partial) -> bool:
    """Whether these words, which call for nothing of what is there, have taken back others that stood."""
    before = spoken_words(glimpse.words)
    if spoken_words(partial.text)[: len(before)] == before:
        return False  # they only go on
    stood = any(partial.at_s - glimpse.since.get(line, partial.at_s) >= STOOD_S for line in glimpse.theirs)
    return stood and bool(glimpse.called) and partial.at_s < _believed_s(glimpse)


def _believed_s(glimpse: _Glimpse) -> float:
    """Return when what the last words call for is believed."""
    return min(glimpse.called.values()) + BELIEVED_S


def _has_read(glimpse: _Glimpse) -> Sections:
    """Return what the model has read of what was found."""
    begun = [number for number, (_, reading) in enumerate(glimpse.readings) if reading.lines is not None]
    if not begun:
        return Sections()
    del glimpse.readings[: begun[-1]]
    sections, reading = glimpse.readings[0]
    return read_until(sections, reading.lines or 0)
