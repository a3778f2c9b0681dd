"""One character's answers in the making: begun on a guess, let out when the player's turn is over, or undone.

    pause ──> prepare: the last partial's words ──> memory ──> model ──> a second of voice ──> waits
                                 │                                                              │
              the recogniser's guess at the final words: others? ──> begun anew with these      │
                                                                                                │
    the turn is over, same words ──────────────────────────────────────────> commit: it leaves <┘
    the turn is over, other words, or nothing was prepared ────────────────> begun now, and it counts
    the player goes on ────────────────────────────────────────────────────> undone: nothing was said, done or written

An answer that is prepared reads memory and writes nothing, opens calls that nobody sends, and makes a voice that nobody
hears. What fails in it is nobody's trouble: it is made again when it counts, and only then is a failure told. It is not
begun where it would be in the way: after MOST_TRIES in one turn, and while others wait for the model.

A recogniser needs a while for its final words, and mostly they are those of its last partial: so the model begins with
those, beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Literal

from mythicd.character.environment import Rooms, Surroundings
from mythicd.character.routing import Intercom
from mythicd.character.speak.commit_gate import Commitment
from mythicd.character.speak.speech_output import Reply
from mythicd.character.speak.tool_dispatch import Actions
from mythicd.character.speak.voice_stream import Outlet
from mythicd.character.think.generation import Thought
from mythicd.character.think.prefetch import LookAhead
from mythicd.character.turn import Revision, Turn
from mythicd.dialogue.end_of_turn import completeness
from mythicd.dialogue.state import Event
from mythicd.engines.asr import Recognition
from mythicd.errors import MythicError
from mythicd.telemetry.timeline import Mark, Timeline
from mythicd.text.spoken_words import spoken_words
from mythicd.wire import codec

log = logging.getLogger(__name__)

MOST_TRIES = 3
"""Answers that are prepared for one turn. Whoever pauses more often is thinking, and the machine may rest."""
GUESS_AFTER_S = 0.04
"""How much longer a pause must last before the recogniser is asked what was said: behind a stop within a word it would
have to search the utterance again from its beginning."""
UNFINISHED_S = 0.25
"""How much longer a pause must last before an answer is prepared to words that look unfinished."""
END_PATIENCE_S = 2.0
"""How long work that was cancelled may take to end; an engine's thread leaves at its next chunk."""


_HEARD = frozenset((Mark.SPEECH_START, Mark.SPEECH_END, Mark.SOFT_END, Mark.HARD_END, Mark.ASR_FINAL))
"""Marks that are the player's, and stay when an answer is begun anew."""


class Answers:
    """What makes a character's answers, one at a time."""

    def __init__(
        self,
        npc_id: str,
        stage: Surroundings,
        rooms: Rooms,
        outlet: Outlet,
        intercom: Intercom,
        *,
        thought: Thought,
        ahead: LookAhead,
        actions: Actions,
        clock: Callable[[], float],
        guess: Callable[[], Awaitable[Recognition]],
        pause: Callable[[], Awaitable[None]],
        on_words: Callable[[str], None],
        report: Callable[[Revision, Event], None],
        on_progress: Callable[[Revision], None],
        explain: Callable[[BaseException, str], None],
    ) -> None:
        """`guess` asks the recogniser what was said, should it end here, and `on_words` is told; `pause` stops what the
        model does for this character beside. `report` is told what becomes of an answer, `on_progress` when it
        begins to be spoken and when a call has got its place in it, `explain` what went wrong in an answer that counts,
        with its turn's id."""
        self._npc_id = npc_id
        self._stage = stage
        self._rooms = rooms
        self._outlet = outlet
        self._intercom = intercom
        self._thought = thought
        self._ahead = ahead
        self._actions = actions
        self._clock = clock
        self._guess = guess
        self._pause = pause
        self._on_words = on_words
        self._report = report
        self._on_progress = on_progress
        self._explain = explain
        self._works: set[asyncio.Task[None]] = set()
        """The work of answers, also of those that were stopped and have not ended yet."""

    # --- what the character commands ---------------------------------------------------------------------------------

    def prepare(self, turn: Turn) -> None:
        """Begin an answer that does not count yet, unless that would be in the way."""
        if turn.revision is None and self._may_prepare(turn):
            self._rooms.figures.prepared += 1
            self._begin(turn, Revision(Commitment(self._outlet.send), Timeline(), turn.words or None))

    def commit(self, turn: Turn) -> None:
        """The turn's words are final: let the answer to them out, or make it."""
        figures, revision = self._rooms.figures, turn.revision
        figures.turns += 1
        if revision is not None and revision.words is not None and not self._serves(revision, turn):
            figures.missed += 1
            self.undo(turn)
            revision = None
        if revision is None:
            revision = Revision(Commitment(self._outlet.send), turn.timeline, turn.words, turn.confidence)
            self._begin(turn, revision)
        else:
            figures.committed += 1
            revision.words, revision.confidence = turn.words, turn.confidence
            # When the words were there, the guess knows; all else of the player's speech, the ear.
            revision.timeline.marks = {**turn.timeline.marks, **revision.timeline.marks}
            turn.timeline = revision.timeline
        revision.committed_s = self._clock()
        revision.commitment.commit()

    def undo(self, turn: Turn) -> None:
        """Take back the answer to a turn, of which nothing has left."""
        revision, turn.revision = turn.revision, None
        if revision is None:
            return
        self._rooms.figures.undone += 1
        self.stop(revision, "cancelled")
        self._actions.undo(turn.turn_id)
        self._ahead.reopen()

    def stop(self, revision: Revision, reason: Literal["barge_in", "cancelled", "error"]) -> None:
        """Stop an answer where it is."""
        # The client falls silent first; how long an engine takes to notice is nobody's business but the next turn's.
        if revision.reply is not None:
            revision.reply.cut(reason)
        if revision.work is not None:
            revision.work.cancel()

    async def quiet(self) -> None:
        """Wait until the work of earlier answers has ended, which may take a moment after it was stopped."""
        if self._works:
            await asyncio.wait(tuple(self._works), timeout=END_PATIENCE_S)

    async def close(self) -> None:
        """Wait for all work to end; say whose does not."""
        await self.quiet()
        for work in self._works:
            log.error("%s: %s does not end", self._npc_id, work.get_name())

    # --- an answer's own work ----------------------------------------------------------------------------------------

    def _may_prepare(self, turn: Turn) -> bool:
        settings, model = self._stage.settings, self._rooms.llm.figures
        in_the_way = model.waiting > 0 or model.writing >= settings.scheduler.max_speakers
        return settings.turn.speculate and turn.tries < MOST_TRIES and not in_the_way

    def _begin(self, turn: Turn, revision: Revision) -> None:
        turn.revision = revision
        work = self._work(turn, revision, frozenset(self._works))
        revision.work = asyncio.create_task(work, name=f"{self._npc_id} {turn.turn_id}")
        self._works.add(revision.work)
        revision.work.add_done_callback(self._works.discard)

    async def _work(self, turn: Turn, revision: Revision, before: frozenset[asyncio.Task[None]]) -> None:
        """Make the answer, once the work `before` it has ended. What goes wrong here costs this turn and no other."""
        outcome = Event.FAILED
        try:
            if before:
                await asyncio.wait(before, timeout=END_PATIENCE_S)
            await self._pause()
            if not await self._foresee(turn, revision):
                await self._answer(turn, revision)
            outcome = Event.PLAYBACK_STOPPED if revision.reply is not None and revision.reply.audible else Event.REPLIED
        except Exception as error:
            if revision is turn.revision:  # what goes wrong with an answer while it is being cut is nobody's loss
                self._explain(_first(error), turn.turn_id)
        self._report(revision, outcome)

    async def _foresee(self, turn: Turn, revision: Revision) -> bool:
        """Make the answer while it does not count; tell whether that succeeded. It may come to count meanwhile."""
        if revision.commitment.is_committed:
            return False
        early: asyncio.Task[None] | None = None
        try:
            if revision.words is not None and self._looks_finished(revision.words):
                name = f"{self._npc_id} {turn.turn_id}, by a partial"
                early = asyncio.create_task(self._answer(turn, revision), name=name)
            if not await self._is_right(turn, revision):
                if early is not None:
                    self._rooms.figures.corrected += 1
                    await _end(early)
                    early = None
                    self._forget(turn, revision)
                await self._is_worth_it(revision)
            if revision.commitment.is_committed and early is None:
                return False
            await (self._answer(turn, revision) if early is None else early)
            return True
        except Exception as error:
            if revision.commitment.is_committed:
                raise
            failed = _first(error)
            code = failed.code if isinstance(failed, MythicError) else repr(failed)
            log.info("%s %s: an answer that did not count failed (%s)", self._npc_id, turn.turn_id, code)
        finally:
            if early is not None:
                await _end(early)
        self._forget(turn, revision)
        await revision.commitment.until_committed()
        return False

    async def _is_right(self, turn: Turn, revision: Revision) -> bool:
        """Ask the recogniser what was said; tell whether the answer is to that. Once it counts, its words are right."""
        begun = revision.words
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GUESS_AFTER_S):
                await revision.commitment.until_committed()
        heard = None
        if not revision.commitment.is_committed:
            turn.tries += 1
            heard = await self._guess()
        if heard is None or revision.commitment.is_committed:
            return begun is not None
        revision.words, revision.confidence = turn.with_before(heard.text), heard.confidence
        revision.timeline.mark(Mark.ASR_FINAL, self._clock())
        self._on_words(revision.words)
        understood = self._understands(revision.words, revision.confidence)
        return begun is not None and understood and _same(begun, revision.words) and self._looks_finished(begun)

    async def _is_worth_it(self, revision: Revision) -> None:
        """Wait as long as an answer to these words is not worth its while."""
        if revision.words is None or not self._understands(revision.words, revision.confidence):
            await revision.commitment.until_committed()
        elif not self._looks_finished(revision.words):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(UNFINISHED_S):
                    await revision.commitment.until_committed()

    def _forget(self, turn: Turn, revision: Revision) -> None:
        """Nothing of what was made so far is used."""
        revision.commitment.forget()
        revision.reply = None
        revision.timeline.marks = {mark: at for mark, at in revision.timeline.marks.items() if mark in _HEARD}
        self._actions.undo(turn.turn_id)

    def _serves(self, revision: Revision, turn: Turn) -> bool:
        """Whether an answer that was prepared answers the final words."""
        understood = self._understands(turn.words, turn.confidence)
        return understood and revision.words is not None and _same(revision.words, turn.words)

    def _looks_finished(self, words: str) -> bool:
        return completeness(words, beginnings=self._stage.name_beginnings).looks_finished

    def _understands(self, words: str, confidence: float) -> bool:
        return bool(words) and confidence >= self._stage.settings.asr.min_confidence

    async def _answer(self, turn: Turn, revision: Revision) -> None:
        assert revision.words is not None, "they were recognised, or given"
        commitment, timeline, words = revision.commitment, revision.timeline, revision.words
        try:
            await self._stage.refresh()
        except MythicError as error:  # the world stays as it was
            commitment.send(codec.describe(error, npc_id=self._npc_id, turn_id=turn.turn_id))
        understood = self._understands(words, revision.confidence)
        ahead = self._ahead.commit() if turn.source == "speech" else None
        if not understood:
            self._ahead.drop()  # what is said now is not the model's
        question = await self._thought.recall(
            turn.turn_id, words, understood=understood, seed=turn.number, ahead=ahead, commitment=commitment
        )
        revision.failures = question.failures
        timeline.mark(Mark.CONTEXT_READY, self._clock())
        reply = revision.reply = Reply(
            self._npc_id,
            turn.turn_id,
            self._intercom.open_stream(self._npc_id),
            tts=self._rooms.tts,
            voice=self._stage.voice(self._npc_id),
            outlet=self._outlet,
            commitment=commitment,
            guard=self._thought.guard(question),
            names=self._stage.names,
            timeline=timeline,
            clock=self._clock,
            on_voice=lambda: self._report(revision, Event.VOICE),
            on_anchor=lambda: self._on_progress(revision),
        )
        self._on_progress(revision)
        await reply.run(lambda: self._thought.answer(question, reply, timeline, commitment))


async def _end(work: asyncio.Task[None]) -> None:
    """Stop it, and wait until it has ended; how is of no interest."""
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


def _same(words: str, others: str) -> bool:
    """Whether two transcripts differ in nothing but their spelling."""
    return spoken_words(words) == spoken_words(others)


def _first(error: Exception) -> Exception:
    """Return the first error in a group, however deep it lies: a reply's three tasks end together."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
