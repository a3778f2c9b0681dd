"""Prefetch and speculative prefill: while the player still speaks, memory is searched and the model evaluates the turn.

    the words so far -> search -> sections -> prefill(history, sections, the words that are stable)

The player's words end a turn's message, after what was found (dialogue/prompt.py), so while the sections stay only new
words are to be evaluated. Prefetch has no side effects: it logs nothing, sends nothing and uses up no failure report.
The model is used only while the player alone has the floor: before a character that is talked over has fallen silent,
what was heard of its reply is not known, and the prompt's history says just that. docs/turns.md has measurements.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Set
from dataclasses import dataclass, field, replace

from mythicd.asr.transcript import Partial
from mythicd.character.environment import CharacterContext
from mythicd.character.think.context import SPARE_TOKENS, ContextBuilder, TurnContext
from mythicd.character.think.model_session import ModelSession
from mythicd.concurrency.background_task import BackgroundTask
from mythicd.dialogue.prompt import Sections, read_until
from mythicd.dialogue.state import State
from mythicd.engines.llm import Reading
from mythicd.memory.query import content_words
from mythicd.text.spoken_words import spoken_words

FEW_WORDS = 3
"""Stable words from which a look ahead is worth it though nothing was found; fewer, when they are all there is: then
the player pauses."""
STOOD_S = 0.15
"""How long lines must have been there to be read to their end, though the words have just become others."""
BELIEVED_S = 0.4
"""How long words must have called for something else to be believed, where they have taken back words that stood, and
the recogniser's partials are guesses. pocketsphinx hears "finn really" in "ferry leave" for 110 to 300 ms."""
MOST_CHANGES = 8
"""How often something may come to what was found while the player speaks."""


@dataclass(slots=True)
class _TurnAhead:
    """One turn, before its words are final."""

    turn_id: str = ""
    last: Partial | None = None
    """What was heard last."""
    is_new: bool = False
    """Whether that was not looked at yet."""
    found: TurnContext | None = None
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


class Prefetch:
    """One character's searches ahead: one at a time, each with all that was said until then.

    The model is not waited for: it goes on from where it is as soon as there is more, or something else, to evaluate.
    """

    def __init__(self, context: CharacterContext, session: ModelSession, builder: ContextBuilder) -> None:
        self._session = session
        self._builder = builder
        self._is_reliable = context.engines.asr.has_reliable_partials
        self._has_floor = False
        """Whether the player alone has the floor."""
        self._searching = BackgroundTask(f"{context.npc_id} prefetch")
        self._doubt = BackgroundTask(f"{context.npc_id} waits for words to stand")
        self._ahead = _TurnAhead()

    def open(self, turn_id: str) -> None:
        """The player begins to speak."""
        self._ahead.over = True
        self._ahead = _TurnAhead(turn_id, over=False)

    def add_partial(self, partial: Partial) -> None:
        """More of the words is known."""
        self._ahead.last, self._ahead.is_new = partial, True
        self._searching.start_if_idle(self._search_latest)

    def on_state(self, state: State) -> None:
        """Take note of the dialogue's new state."""
        self._has_floor = state is State.LISTENING
        # With the floor free, what was heard before it may be worth more than it was.
        if self._has_floor and self._ahead.last is not None and not self._ahead.over:
            self.add_partial(self._ahead.last)

    def commit(self) -> TurnContext | None:
        """The words are final: return what was found, and what of it the model has evaluated; None when nothing was."""
        ahead = self._ahead
        ahead.over = True
        if ahead.prepared is None or ahead.found is None:
            return None
        return replace(ahead.found, read=_has_read(ahead))

    def reopen(self) -> None:
        """The words were not final after all: go on where it stopped."""
        if self._ahead.turn_id:
            self._ahead.over = False

    def drop(self) -> None:
        """These words get no reply of the model's: what was evaluated of them is to be rolled back."""
        self._ahead.over = True
        if self._ahead.prepared is not None:
            self._session.discard_prefill()

    async def stop(self) -> None:
        """Search no more."""
        self._ahead.over = True
        await self._doubt.stop()
        await self._searching.stop()

    async def _search_latest(self) -> None:
        while self._ahead.is_new and not self._ahead.over:
            ahead = self._ahead
            ahead.is_new = False
            assert ahead.last is not None, "what is new was heard"
            await self._search(ahead, ahead.last)

    async def _search(self, ahead: _TurnAhead, partial: Partial) -> None:
        if not (self._session.can_prefill and self._has_floor):
            await self._builder.embed(partial.text)
            return
        found = await self._builder.search(partial.text, ahead.turn_id)
        called = _called(found)
        ahead.called = {line: ahead.called.get(line, partial.at_s) for line in called}
        if ahead.found is None:
            count = len(partial.stable.split())
            # Words that say nothing themselves find what was talked about before.
            tells = found.is_telling and bool(content_words(partial.text))
            if not (tells or count >= FEW_WORDS or (count > 0 and partial.stable == partial.text)):
                return
            self._take(ahead, found, partial)
        else:
            joined: TurnContext | None = None
            shares = not called.isdisjoint(_called(ahead.found))
            if shares:
                ahead.words, ahead.theirs = partial.text, called
            if not shares and not self._is_reliable and _is_doubtful(ahead, partial):
                believed_s = _believed_s(ahead)
                self._doubt.replace(functools.partial(self._search_again, ahead, partial, believed_s))
            else:
                joined = self._with_news(ahead, found, partial.at_s)
            if joined is not None:
                ahead.changes += _adds(joined, ahead.found)
                self._take(ahead, joined, partial)
            elif ahead.prepared == partial.stable:
                return
        self._prefill(ahead, partial.stable)

    async def _search_again(self, ahead: _TurnAhead, partial: Partial, believed_s: float) -> None:
        """Believe these words, which are in doubt, if they are still the last then."""
        await asyncio.sleep(believed_s - partial.at_s)
        if ahead.last is partial and not ahead.over:
            self.add_partial(replace(partial, at_s=believed_s))  # to the bit: by then they are no longer in doubt

    def _prefill(self, ahead: _TurnAhead, stable: str) -> None:
        assert ahead.found is not None, "there is something to evaluate"
        sections = ahead.found.sections

        def is_wanted() -> bool:
            return not ahead.over and self._has_floor

        def on_begin() -> Reading:
            reading = Reading()
            ahead.prepared = stable
            ahead.readings.append((sections, reading))
            return reading

        self._session.prefill(stable, sections, is_wanted, on_begin)

    def _with_news(self, ahead: _TurnAhead, found: TurnContext, at_s: float) -> TurnContext | None:
        """Return what belongs into the prompt now; None when it is what is there, half a word calls for nothing, or too
        much was called for already."""
        assert ahead.found is not None
        if ahead.found.is_telling and not found.is_telling:
            return None
        read, there, spare = _has_read(ahead), ahead.found.sections, SPARE_TOKENS
        if _adds(found, ahead.found):
            # Other words, for now. What was called for by words that stood is read to its end first; if it is not
            # called for in the end, it goes again.
            spare *= 2
            lore, recent = (
                tuple(line for line in lines if line in done or at_s - ahead.since.get(line, at_s) >= STOOD_S)
                for lines, done in ((there.lore, read.lore), (there.recent, read.recent))
            )
            read = Sections(lore, recent)
        joined = replace(ahead.found, read=read).joined(found, spare)
        is_too_much = ahead.changes >= MOST_CHANGES and _adds(joined, ahead.found)
        return None if joined.sections == there or is_too_much else joined

    def _take(self, ahead: _TurnAhead, found: TurnContext, partial: Partial) -> None:
        lines = (*found.sections.lore, *found.sections.recent)
        ahead.since = {line: ahead.since.get(line, partial.at_s) for line in lines}
        ahead.found, ahead.words, ahead.theirs = found, partial.text, frozenset(ahead.called)


def _called(found: TurnContext) -> frozenset[str]:
    """Return the lines that words called for: all but those that every turn is told."""
    return frozenset((*found.sections.lore, *found.sections.recent)).difference(found.failures)


def _adds(found: TurnContext, to: TurnContext) -> bool:
    """Whether there are lines in it that are not in the other."""
    lines, there = found.sections, to.sections
    return not (set(lines.lore) <= set(there.lore) and set(lines.recent) <= set(there.recent))


def _is_doubtful(ahead: _TurnAhead, partial: Partial) -> bool:
    """Whether these words, which call for nothing of what is there, have taken back others that stood."""
    before = spoken_words(ahead.words)
    if spoken_words(partial.text)[: len(before)] == before:
        return False  # they only go on
    stood = any(partial.at_s - ahead.since.get(line, partial.at_s) >= STOOD_S for line in ahead.theirs)
    return stood and bool(ahead.called) and partial.at_s < _believed_s(ahead)


def _believed_s(ahead: _TurnAhead) -> float:
    """Return when what the last words call for is believed."""
    return min(ahead.called.values()) + BELIEVED_S


def _has_read(ahead: _TurnAhead) -> Sections:
    """Return what the model has read of what was found."""
    begun = [number for number, (_, reading) in enumerate(ahead.readings) if reading.lines is not None]
    if not begun:
        return Sections()
    del ahead.readings[: begun[-1]]
    sections, reading = ahead.readings[0]
    return read_until(sections, reading.lines or 0)
