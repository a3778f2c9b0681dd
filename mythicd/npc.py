"""One character: its mailbox, its turns, and the order in which a turn goes through the rooms.

    hearing  vad -> asr
    ahead    while the player speaks: memory -> llm reads ahead
    thought  dialogue -> memory -> llm
    reply    guardrails -> phrases -> tts -> visemes -> the client

What happens when is decided by dialogue/state.py; this file carries its commands out, each change of state whole: there
is no `await` within one. A turn's work is one task, which a barge-in cancels; what was heard of it is settled by the
character afterwards, which is why that waits for the client's `PlaybackStopped` (for a bounded time) and not for the
turn. Whoever else might never answer has a bound, too: the microphone, the recogniser, and everything in an answer.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from mythicd import messages as m
from mythicd import wire
from mythicd.actions import Actions
from mythicd.ahead import LookAhead
from mythicd.asr.transcript import Partial
from mythicd.dialogue.history import History
from mythicd.dialogue.state import Command, Event, State, advance
from mythicd.diary import Diary
from mythicd.ear import HeardEvent, SpeechBegan, UtteranceEnded
from mythicd.errors import Busy, EngineError, MythicError
from mythicd.hearing import Hearing
from mythicd.intercom import Intercom
from mythicd.mailbox import Mailbox, MicFrame
from mythicd.presence import Presence
from mythicd.reply import Outlet, Reply
from mythicd.surroundings import Rooms, Surroundings
from mythicd.thought import Thought
from mythicd.timeline import Mark
from mythicd.turn import ANSWER_PATIENCE_S, Turn

log = logging.getLogger(__name__)

CUT_TIMEOUT_S = 0.5
"""How long a client may take to fall silent after a `Cutoff` before the playhead it last sent is believed."""
END_PATIENCE_S = 2.0
"""How long work that was cancelled may take to end; an engine's thread leaves at its next chunk."""


@dataclass(frozen=True, slots=True)
class Happened:
    """Something that a turn's own work reports to its character."""

    turn: Turn
    event: Event


@dataclass(frozen=True, slots=True)
class Anchored:
    """A call of this turn has got its place in the audio."""

    turn: Turn


Playback = m.PlaybackStarted | m.Playhead | m.PlaybackStopped
Post = m.MicStart | m.MicStop | m.TextInput | m.Attend | Playback | m.Ack | Happened | Anchored


class Character:
    """One character of one playthrough."""

    def __init__(
        self,
        npc_id: str,
        stage: Surroundings,
        rooms: Rooms,
        outlet: Outlet,
        intercom: Intercom,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.npc_id = npc_id
        self.state = State.IDLE
        self._stage = stage
        self._rooms = rooms
        self._outlet = outlet
        self._intercom = intercom
        self._clock = clock
        self._wall = wall
        self._mailbox: Mailbox[Post] = Mailbox()
        self._history = History()
        self._diary = Diary(npc_id, stage, rooms.store, self._history, wall=wall, on_error=self._tell)
        # Turn and call ids are unique among starts of the daemon: they stand in the memory database.
        self._born = secrets.token_hex(3)
        self._actions = Actions(
            npc_id,
            f"{npc_id[:32]}-{self._born}",
            send=outlet.send,
            record=self._diary.call,
            intercom=intercom,
            clock=clock,
            wall=wall,
        )
        # Two playthroughs may have the same characters: to the model they are different ones.
        scope = stage.scope
        llm_id = f"{npc_id} ({scope.game}/{scope.world}/{scope.player}/{scope.playthrough})"
        self._thought = Thought(
            npc_id, stage, rooms, self._history, self._actions, send=outlet.send, clock=clock, wall=wall, llm_id=llm_id
        )
        self._hearing = Hearing(
            npc_id,
            rooms,
            clock=clock,
            is_hearing=lambda: self._is_hearing,
            on_event=self._heard,
            on_lost=lambda: self._happen(Event.SPEECH_LOST),
            on_error=lambda error: self._explain(error, self._turn),
        )
        self._ahead = LookAhead(
            npc_id,
            llm_id,
            self._thought,
            rooms.llm,
            is_free=lambda: self.state is State.LISTENING,
            ready=self._ready,
        )
        self._presence = Presence(
            npc_id,
            llm_id,
            rooms,
            self._ahead,
            resting_prompt=self._thought.resting_prompt,
            compact=self._diary.compact_history,
            quiet=self._quiet,
        )
        self._turns = 0
        self._turn: Turn | None = None
        """The turn that is being heard or answered."""
        self._cut: Turn | None = None
        """The turn that was cut off and is not settled yet."""
        self._cut_deadline: float | None = None
        self._typed = ""
        self._life: asyncio.Task[None] | None = None
        self._works: set[asyncio.Task[None]] = set()
        """The work of turns, also of those that were cut and have not ended yet."""

    def start(self) -> None:
        """Come to life: from now on the mailbox is read."""
        self._diary.open()
        self._life = asyncio.create_task(self._live(), name=f"{self.npc_id} lives")

    def post(self, item: Post | MicFrame) -> None:
        """Put something in the mailbox. Raises Busy when it is full."""
        if isinstance(item, MicFrame | m.MicStart | m.MicStop):
            self._mailbox.post_in_order(item)
        else:
            self._mailbox.post(item)

    async def close(self) -> None:
        """Fall silent, write down what was heard, and end."""
        life, self._life = self._life, None
        if life is None:
            return
        life.cancel()
        await asyncio.gather(life, return_exceptions=True)
        self._happen(Event.LEAVE)
        await self._hearing.close()
        await self._quiet()
        for work in self._works:
            log.error("%s: %s does not end", self.npc_id, work.get_name())
        await self._ahead.stop()
        await self._presence.close()
        await self._diary.close()

    # --- the mailbox -------------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        try:
            await self._diary.remember()
            self._diary.shorten_history(self._thought.resting_prompt())
        except Exception as error:
            self._explain(error)
        while True:
            item = await self._mailbox.get(self._patience_s())
            try:
                await self._look_at_clock()
                if item is not None:
                    await self._take(item)
            except Exception as error:
                self._explain(error)

    async def _take(self, item: Post | MicFrame) -> None:
        match item:
            case MicFrame():
                await self._hearing.hear(item)
            case m.MicStart():
                self._presence.address()
                await self._hearing.open(item, self._stage.settings.turn)
                if item.mode == "push_to_talk":
                    self._happen(Event.SPEECH_START)
                self._presence.come(self.state)
            case m.MicStop():
                await self._hearing.release(item.stream)
            case m.TextInput():
                self._typed = item.text
                self._presence.address()
                self._happen(Event.TEXT)
            case m.Attend():
                (self._presence.come if item.attending else self._presence.go)(self.state)
            case m.PlaybackStarted() | m.Playhead() | m.PlaybackStopped():
                self._follow_playback(item)
            case m.Ack():
                self._actions.acknowledge(item)
            case Anchored():
                if item.turn in (self._turn, self._cut):
                    self._release_calls(item.turn)
            case Happened():
                if item.turn is self._turn:
                    self._happen(item.event)

    def _patience_s(self) -> float | None:
        """Return how long to wait for the next message before the clock has something to say; None for ever."""
        deadlines = [self._actions.next_deadline, self._cut_deadline, self._hearing.deadline_s]
        if self._turn is not None:
            deadlines.append(self._turn.patience_ends_s)
        first = min((at for at in deadlines if at is not None), default=math.inf)
        return None if first == math.inf else max(0.0, first - self._clock())

    async def _look_at_clock(self) -> None:
        if self._cut_deadline is not None and self._clock() >= self._cut_deadline:
            self._happen(Event.PLAYBACK_STOPPED)
        await self._hearing.look_at_clock()
        turn = self._turn
        if turn is not None and turn.patience_ends_s is not None and self._clock() >= turn.patience_ends_s:
            gone = f"The answer of {self.npc_id} got no further for {ANSWER_PATIENCE_S:.0f} s and was given up."
            self._explain(EngineError(gone, remedy="Try again; a smaller model answers sooner."), turn)
            self._stop_work(turn, "error")
            self._happen(Event.FAILED)
        for call, error in self._actions.look_at_clock():
            self._outlet.send(wire.describe(error, npc_id=self.npc_id, turn_id=call.turn_id, call_id=call.call_id))

    # --- hearing -----------------------------------------------------------------------------------------------------

    @property
    def _is_hearing(self) -> bool:
        """Whether the turn is the player's, who speaks."""
        return self.state in (State.LISTENING, State.BARGE_IN)

    def _heard(self, event: HeardEvent) -> None:
        match event:
            case SpeechBegan():
                self._happen(Event.SPEECH_START)
            case Partial() if self._turn is not None and self._is_hearing:
                turn_id = self._turn.turn_id
                self._outlet.send(
                    m.ASRPartial(npc_id=self.npc_id, turn_id=turn_id, text=event.text, stable=event.stable)
                )
                self._ahead.hear(event)
            case UtteranceEnded() if self._turn is not None and self._is_hearing:
                turn, heard = self._turn, event.recognition
                if not event.voiced and not heard.text:
                    self._happen(Event.SPEECH_LOST)
                    return
                turn.timeline, turn.words, turn.confidence = event.timeline, heard.text, heard.confidence
                turn.timeline.mark(Mark.ASR_FINAL, self._clock())
                self._outlet.send(
                    m.ASRFinal(
                        npc_id=self.npc_id,
                        turn_id=turn.turn_id,
                        text=heard.text,
                        lang=heard.lang,
                        confidence=heard.confidence,
                    )
                )
                self._happen(Event.SPEECH_END)

    # --- what the state machine commands -----------------------------------------------------------------------------

    def _happen(self, event: Event) -> None:
        """Advance the state and carry out what that asks for."""
        before = self.state
        self.state, commands = advance(self.state, event)
        for command in commands:
            match command:
                case Command.OPEN_TURN:
                    self._open_turn(event)
                case Command.DROP_TURN:
                    self._turn = None
                    self._ahead.drop()
                case Command.RESPOND:
                    self._respond()
                case Command.CUT:
                    self._cut_off("error" if event is Event.FAILED else "barge_in")
                case Command.SETTLE:
                    self._settle()
        if self.state is not before:
            turn_id = self._turn.turn_id if self._turn is not None else ""
            self._outlet.send(m.NpcState(npc_id=self.npc_id, turn_id=turn_id, state=self.state.value))
            if event is Event.LEAVE:
                return
            self._presence.follow(self.state)
            if self.state is State.IDLE:
                self._presence.rest()
            elif self.state is State.LISTENING:
                self._ahead.resume()

    def _open_turn(self, event: Event) -> None:
        self._turns += 1
        turn = Turn(f"t-{self._born}-{self._turns}", self._turns, self._wall())
        if event is Event.TEXT:
            turn.words, turn.source = self._typed, "text"
            now = self._clock()
            for mark in (Mark.SPEECH_START, Mark.SPEECH_END, Mark.SOFT_END, Mark.HARD_END, Mark.ASR_FINAL):
                turn.timeline.mark(mark, now)
        else:
            self._ahead.open(turn.turn_id)
        self._turn = turn

    def _respond(self) -> None:
        turn = self._turn
        assert turn is not None, "the state table opens a turn before it is answered"
        if turn.words:
            self._diary.player_said(turn.turn_id, turn.words, turn.started_at, turn.source)
        turn.responded_s = self._clock()
        work = self._work(turn, frozenset(self._works))
        turn.work = asyncio.create_task(work, name=f"{self.npc_id} {turn.turn_id}")
        self._works.add(turn.work)
        turn.work.add_done_callback(self._works.discard)

    def _cut_off(self, reason: Literal["barge_in", "error"]) -> None:
        turn, self._turn = self._turn, None
        if turn is None:
            return
        self._cut = turn
        self._cut_deadline = self._clock() + CUT_TIMEOUT_S
        self._stop_work(turn, reason)

    def _stop_work(self, turn: Turn, reason: Literal["barge_in", "error"]) -> None:
        # The client falls silent first; how long an engine takes to notice is nobody's business but the next turn's.
        if turn.reply is not None:
            turn.reply.cut(reason)
        if turn.work is not None:
            turn.work.cancel()

    def _settle(self) -> None:
        """Write down what was heard of a turn, and let go of what was not."""
        turn, self._cut, self._cut_deadline = self._cut, None, None
        if turn is None:
            turn, self._turn = self._turn, None
        if turn is None:
            return
        self._release_calls(turn)
        self._actions.cancel(turn.turn_id)
        written = turn.reply.text if turn.reply is not None else ""
        heard = turn.reply.heard if turn.reply is not None else ""
        self._history.add(turn.turn_id, turn.words, heard, self._actions.deeds(turn.turn_id))
        self._diary.shorten_history(self._thought.resting_prompt())
        if written:
            self._diary.said(turn.turn_id, written, heard, turn.started_at)
        self._outlet.send(
            m.TurnTimeline(
                npc_id=self.npc_id,
                turn_id=turn.turn_id,
                marks=turn.timeline.relative_ms(),
                heard=turn.words,
                reply=written,
                played=heard,
            )
        )

    # --- a turn's own work -------------------------------------------------------------------------------------------

    async def _work(self, turn: Turn, before: frozenset[asyncio.Task[None]]) -> None:
        """Make the reply, once the work `before` it has ended. What goes wrong in here costs this turn and no other."""
        outcome = Event.FAILED
        try:
            if before:
                await asyncio.wait(before, timeout=END_PATIENCE_S)
            await self._presence.pause()
            await self._answer(turn)
            outcome = Event.PLAYBACK_STOPPED if turn.reply is not None and turn.reply.audible else Event.REPLIED
        except Exception as error:
            if turn is self._turn:  # what goes wrong with a turn while it is being cut is nobody's loss
                self._explain(_first(error), turn)
        self._mailbox.post_own(Happened(turn, outcome))

    async def _answer(self, turn: Turn) -> None:
        try:
            await self._stage.refresh()
        except MythicError as error:  # the world stays as it was
            self._explain(error, turn)
        settings = self._stage.settings
        understood = bool(turn.words) and turn.confidence >= settings.asr.min_confidence
        ahead = self._ahead.commit() if turn.source == "speech" else None
        if not understood:
            self._ahead.drop()  # what is said now is not the model's
        question = await self._thought.recall(
            turn.turn_id, turn.words, understood=understood, seed=turn.number, ahead=ahead
        )
        turn.timeline.mark(Mark.CONTEXT_READY, self._clock())
        reply = turn.reply = Reply(
            self.npc_id,
            turn.turn_id,
            self._intercom.open_stream(self.npc_id),
            tts=self._rooms.tts,
            voice=self._stage.voice(self.npc_id),
            outlet=self._outlet,
            guard=self._thought.guard(question),
            names=self._stage.names,
            timeline=turn.timeline,
            clock=self._clock,
            on_voice=lambda: self._mailbox.post_own(Happened(turn, Event.VOICE)),
            on_anchor=lambda: self._mailbox.post_own(Anchored(turn)),
        )
        await reply.run(lambda: self._thought.answer(question, reply, turn.timeline))

    def _follow_playback(self, message: Playback) -> None:
        now = self._clock()
        for turn in (self._turn, self._cut):
            if turn is None or turn.reply is None or turn.reply.stream != message.stream:
                continue
            match message:
                case m.PlaybackStarted():
                    turn.reply.started(now)
                case m.Playhead():
                    turn.reply.played(message.played_samples, now)
                case m.PlaybackStopped():
                    turn.reply.stopped(message.played_samples, now)
            self._release_calls(turn)
            if turn is self._cut and isinstance(message, m.PlaybackStopped):
                self._happen(Event.PLAYBACK_STOPPED)
            return

    def _release_calls(self, turn: Turn) -> None:
        """Send the calls whose words have been heard by now."""
        for call_id in turn.reply.due() if turn.reply is not None else ():
            self._actions.send(call_id)

    # --- between turns -----------------------------------------------------------------------------------------------

    async def _quiet(self) -> None:
        """Wait until the work of earlier turns has ended, which may take a moment after it was cancelled."""
        if self._works:
            await asyncio.wait(tuple(self._works), timeout=END_PATIENCE_S)

    async def _ready(self) -> None:
        """Wait until the model has nothing else to do for this character."""
        await self._presence.pause()
        await self._quiet()

    # --- what is told ------------------------------------------------------------------------------------------------

    def _tell(self, error: MythicError, turn_id: str = "") -> None:
        self._outlet.send(wire.describe(error, npc_id=self.npc_id, turn_id=turn_id))

    def _explain(self, error: BaseException, turn: Turn | None = None) -> None:
        """Tell the client what went wrong. What nobody foresaw stands in the log, and the client gets its number."""
        turn_id = turn.turn_id if turn is not None else ""
        if isinstance(error, Busy):
            log.warning("%s %s: busy", self.npc_id, turn_id)
            self._outlet.send(m.Busy(npc_id=self.npc_id, reason=str(error), retry_after_ms=1000))
        elif isinstance(error, MythicError):
            # Only the code: what a tool was asked for, or what was said, has no place in a log.
            log.warning("%s %s: %s", self.npc_id, turn_id, error.code)
            self._tell(error, turn_id)
        else:
            reference = secrets.token_hex(4)
            log.error("unexpected failure %s of %s", reference, self.npc_id, exc_info=error)
            self._outlet.send(
                m.Error(
                    code="INTERNAL",
                    message="Something went wrong inside the daemon.",
                    remedy=f"Look for {reference} in its log.",
                    npc_id=self.npc_id,
                    turn_id=turn_id,
                    ref=reference,
                )
            )


def _first(error: Exception) -> Exception:
    """Return the first error in a group, however deep it lies: a reply's three tasks end together."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
