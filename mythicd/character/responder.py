"""Speculative responses: started at a pause, committed at the end of the turn, or rolled back.

    soft end -> prepare: the last partial's words -> memory -> model -> a second of voice -> waits at the commit gate
                           the recogniser's guess at the final words differs? -> begun again with these
    hard end, same words                          -> commit: what waits is sent
    hard end, other words, or nothing prepared    -> begun now, and committed at once
    the player goes on                            -> rolled back: nothing was said, done or logged

Errors of an uncommitted response are discarded: it is made again at the commit, and only that failure is reported.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Callable
from typing import Literal

from mythicd.character.environment import CharacterContext
from mythicd.character.hear.current_speech import CurrentSpeech, spoken_completeness
from mythicd.character.speak.commit_gate import CommitGate
from mythicd.character.speak.speech_output import SpeechOutput
from mythicd.character.speak.tool_dispatch import ToolDispatch
from mythicd.character.think.generation import ReplyGenerator
from mythicd.character.think.model_session import END_PATIENCE_S, ModelSession
from mythicd.character.think.prefetch import Prefetch
from mythicd.character.turn import Response, ResponseEvent, ResponseProgress, Turn
from mythicd.dialogue.state import Event
from mythicd.errors import MythicError
from mythicd.telemetry.timeline import Mark, Timeline
from mythicd.text.spoken_words import spoken_words

log = logging.getLogger(__name__)

MOST_TRIES = 3
"""Responses that are prepared for one turn. A player who pauses more often is thinking, and the machine may rest."""
GUESS_AFTER_S = 0.04
"""How much longer than the soft end a pause must last before the recogniser is asked what was said: after a stop within
a word it would have to search the utterance again from its beginning."""
UNFINISHED_S = 0.25
"""How much longer a pause must last before a response is prepared to words that look unfinished."""

_PLAYERS_MARKS = frozenset((Mark.SPEECH_START, Mark.SPEECH_END, Mark.SOFT_END, Mark.HARD_END, Mark.ASR_FINAL))
"""Marks of the player's speech, which stay when a response is begun again."""


class Responder:
    """Makes a character's responses, one at a time."""

    def __init__(
        self,
        context: CharacterContext,
        session: ModelSession,
        generator: ReplyGenerator,
        prefetch: Prefetch,
        tools: ToolDispatch,
        current: CurrentSpeech,
        post: Callable[[ResponseEvent | ResponseProgress], None],
    ) -> None:
        """`post` puts a response's reports into the character's mailbox."""
        self._context = context
        self._counters = context.engines.counters
        self._session = session
        self._generator = generator
        self._prefetch = prefetch
        self._tools = tools
        self._current = current
        self._post = post
        self._works: set[asyncio.Task[None]] = set()
        """The work of responses, also of those that were stopped and have not ended yet."""

    # --- what the character commands ---------------------------------------------------------------------------------

    def prepare(self, turn: Turn) -> None:
        """Begin a response that is not committed yet, unless it would be in the way of others."""
        if turn.response is None and self._may_prepare(turn):
            self._counters.prepared += 1
            self._begin(turn, self._new(turn, Timeline(), turn.words or None))

    def commit(self, turn: Turn) -> None:
        """The turn's words are final: commit the response to them, or make it."""
        counters, response = self._counters, turn.response
        counters.turns += 1
        if response is not None and response.words is not None and not self._serves(response, turn):
            counters.missed += 1
            self.rollback(turn)
            response = None
        if response is None:
            response = self._new(turn, turn.timeline, turn.words)
            response.confidence = turn.confidence
            self._begin(turn, response)
        else:
            counters.committed += 1
            response.words, response.confidence = turn.words, turn.confidence
            # When the words were known is the guess's mark; all others of the player's speech are the microphone's.
            response.timeline.marks = {**turn.timeline.marks, **response.timeline.marks}
            turn.timeline = response.timeline
        response.committed_s = self._context.clock()
        response.gate.commit()

    def rollback(self, turn: Turn) -> None:
        """Take back the response to a turn, of which nothing was sent."""
        response, turn.response = turn.response, None
        if response is None:
            return
        self._counters.undone += 1
        self.stop(response, "cancelled")
        self._tools.undo(turn.turn_id)
        self._prefetch.reopen()

    def stop(self, response: Response, reason: Literal["barge_in", "cancelled", "error"]) -> None:
        """Stop a response where it is."""
        # The client falls silent first. The engines may take a while to stop; only the next turn waits for them.
        if response.output is not None:
            response.output.cut(reason)
        if response.work is not None:
            response.work.cancel()

    @property
    def working(self) -> int:
        """Responses whose work has not ended."""
        return len(self._works)

    async def close(self) -> None:
        """Wait for all work to end; log what does not."""
        if self._works:
            await asyncio.wait(tuple(self._works), timeout=END_PATIENCE_S)
        for work in self._works:
            log.error("%s: %s does not end", self._context.npc_id, work.get_name())

    # --- a response's own work ---------------------------------------------------------------------------------------

    def _new(self, turn: Turn, timeline: Timeline, words: str | None) -> Response:
        return Response(turn.turn_id, CommitGate(self._context.outlet.send), timeline, self._post, words)

    def _may_prepare(self, turn: Turn) -> bool:
        settings, model = self._context.settings, self._context.engines.llm.counters
        in_the_way = model.waiting > 0 or model.writing >= settings.scheduler.max_speakers
        return settings.turn.speculate and turn.tries < MOST_TRIES and not in_the_way

    def _begin(self, turn: Turn, response: Response) -> None:
        turn.response = response
        work = self._work(turn, response, frozenset(self._works))
        response.work = asyncio.create_task(work, name=f"{self._context.npc_id} {turn.turn_id}")
        self._works.add(response.work)
        response.work.add_done_callback(self._works.discard)

    async def _work(self, turn: Turn, response: Response, before: frozenset[asyncio.Task[None]]) -> None:
        """Make the response, once the work `before` it has ended. A failure costs this turn and no other."""
        outcome = Event.FAILED
        try:
            if before:
                await asyncio.wait(before, timeout=END_PATIENCE_S)
            await self._session.stop_upkeep()
            if not await self._speculate(turn, response):
                await self._make(turn, response)
            is_audible = response.output is not None and response.output.audible
            outcome = Event.PLAYBACK_STOPPED if is_audible else Event.REPLIED
        except Exception as error:
            if response is turn.response:  # errors of a cancelled response are ignored
                self._context.report(_first(error), turn.turn_id)
        response.report(outcome)

    async def _speculate(self, turn: Turn, response: Response) -> bool:
        """Make the response while it is not committed; return whether that succeeded. It may be committed meanwhile.

        The recogniser needs a while for its final words, and mostly they are those of its last partial: so the model
        begins with those at the same time.
        """
        if response.gate.is_committed:
            return False
        early: asyncio.Task[None] | None = None
        try:
            if response.words is not None and self._looks_finished(response.words):
                name = f"{self._context.npc_id} {turn.turn_id}, by a partial"
                early = asyncio.create_task(self._make(turn, response), name=name)
            if not await self._guess_agrees(turn, response):
                if early is not None:
                    self._counters.corrected += 1
                    await _cancel(early)
                    early = None
                    self._reset(turn, response)
                await self._until_worthwhile(response)
            if response.gate.is_committed and early is None:
                return False
            await (self._make(turn, response) if early is None else early)
            return True
        except Exception as error:
            if response.gate.is_committed:
                raise
            failed = _first(error)
            code = failed.code if isinstance(failed, MythicError) else repr(failed)
            log.info("%s %s: an uncommitted response failed (%s)", self._context.npc_id, turn.turn_id, code)
        finally:
            if early is not None:
                await _cancel(early)
        self._reset(turn, response)
        await response.gate.until_committed()
        return False

    async def _guess_agrees(self, turn: Turn, response: Response) -> bool:
        """Ask the recogniser what was said; return whether the response is to that. After the commit its words are
        right."""
        begun = response.words
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GUESS_AFTER_S):
                await response.gate.until_committed()
        heard = None
        if not response.gate.is_committed:
            turn.tries += 1
            heard = await self._current.guess()
        if heard is None or response.gate.is_committed:
            return begun is not None
        response.words, response.confidence = turn.with_before(heard.text), heard.confidence
        response.timeline.mark(Mark.ASR_FINAL, self._context.clock())
        self._current.end_after_words(response.words)
        understood = self._understands(response.words, response.confidence)
        return begun is not None and understood and _same(begun, response.words) and self._looks_finished(begun)

    async def _until_worthwhile(self, response: Response) -> None:
        """Wait as long as a response to these words is not worth making."""
        if response.words is None or not self._understands(response.words, response.confidence):
            await response.gate.until_committed()
        elif not self._looks_finished(response.words):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(UNFINISHED_S):
                    await response.gate.until_committed()

    def _reset(self, turn: Turn, response: Response) -> None:
        """Drop everything that was made so far."""
        response.gate.drop_held()
        response.input = response.output = None
        response.timeline.marks = {mark: at for mark, at in response.timeline.marks.items() if mark in _PLAYERS_MARKS}
        self._tools.undo(turn.turn_id)

    def _serves(self, response: Response, turn: Turn) -> bool:
        """Whether a prepared response answers the final words."""
        understood = self._understands(turn.words, turn.confidence)
        return understood and response.words is not None and _same(response.words, turn.words)

    def _looks_finished(self, words: str) -> bool:
        return spoken_completeness(words, self._context.world.name_beginnings).looks_finished

    def _understands(self, words: str, confidence: float) -> bool:
        return bool(words) and confidence >= self._context.settings.asr.min_confidence

    async def _make(self, turn: Turn, response: Response) -> None:
        """Search memory, generate the reply, and speak it."""
        assert response.words is not None, "they were recognised, or given"
        try:
            await self._context.environment.refresh()
        except MythicError as error:  # the world stays as it was
            response.gate.send(self._context.describe(error, turn.turn_id))
        understood = self._understands(response.words, response.confidence)
        ahead = self._prefetch.commit() if turn.source == "speech" else None
        if not understood:
            self._prefetch.drop()  # what is said now does not come from the model
        await self._generator.build_input(turn, response, understood=understood, ahead=ahead)
        assert response.input is not None, "it was just built"
        response.timeline.mark(Mark.CONTEXT_READY, self._context.clock())
        response.play_emote = functools.partial(self._generator.open_emote, turn.turn_id)
        guard, cleaner = self._generator.guardrails(response.input), self._generator.cleaner()
        response.output = SpeechOutput(self._context, response, guard, cleaner)
        response.progressed()
        await response.output.run(functools.partial(self._generator.write, response))


async def _cancel(work: asyncio.Task[None]) -> None:
    """Cancel it, and wait until it has ended, in whatever way."""
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
