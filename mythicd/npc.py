"""One character: its mailbox, its turns, and the order in which a turn goes through the rooms.

    ear      vad -> asr
    thought  dialogue -> memory -> llm
    reply    guardrails -> phrases -> tts -> visemes -> the client

What happens when is decided by dialogue/state.py; this file carries its commands out, each change of state whole: there
is no `await` within one. A turn's work is one task, which a barge-in cancels; what was heard of it is settled by the
character afterwards, which is why that waits for the client's `PlaybackStopped` (for a bounded time) and not for the
turn. Whoever else might never answer has a bound, too: the microphone, the recogniser, and everything in an answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import secrets
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Literal

from mythicd import messages as m
from mythicd import wire
from mythicd.actions import Actions
from mythicd.asr.transcript import Partial
from mythicd.audio import SAMPLE_BYTES
from mythicd.dialogue.history import History
from mythicd.dialogue.state import Command, Event, State, advance
from mythicd.diary import Diary
from mythicd.ear import Ear, HeardEvent, SpeechBegan, UtteranceEnded
from mythicd.engines import MIC_RATE
from mythicd.errors import Busy, EngineError, MythicError
from mythicd.intercom import Intercom
from mythicd.mailbox import Mailbox, MicFrame
from mythicd.reply import Outlet, Reply
from mythicd.sidework import SideWork
from mythicd.thought import Rooms, Surroundings, Thought
from mythicd.timeline import Mark
from mythicd.turn import ANSWER_PATIENCE_S, Turn

log = logging.getLogger(__name__)

CUT_TIMEOUT_S = 0.5
"""How long a client may take to fall silent after a `Cutoff` before the playhead it last sent is believed."""
MIC_PATIENCE_S = 1.5
"""How long a microphone may send nothing in the middle of an utterance before that is taken as its end."""
HEARING_PATIENCE_S = 20.0
"""How long a recogniser may take for one step."""
END_PATIENCE_S = 2.0
"""How long work that was cancelled may take to end; an engine's thread leaves at its next chunk."""
PIECE_BYTES = 6400
"""Longer frames of a microphone are heard in pieces of 0.2 s, so that nobody else waits for a whole speech."""


@dataclass(slots=True)
class Microphone:
    """The microphone that speaks to a character, and what hears it."""

    start: m.MicStart
    ear: Ear
    heard_s: float
    """When the last of its audio was heard, on the monotonic clock."""


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
        self._thought = Thought(
            npc_id, stage, rooms, self._history, self._actions, send=outlet.send, clock=clock, wall=wall
        )
        self._mic: Microphone | None = None
        """One player, one microphone."""
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
        self._warming = SideWork(f"{npc_id} warms up")
        self._looking_ahead = SideWork(f"{npc_id} looks ahead")

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
        await self._close_mic()
        if self._works:
            await asyncio.wait(self._works, timeout=END_PATIENCE_S)
        for work in self._works:
            log.error("%s: %s does not end", self.npc_id, work.get_name())
        await self._warming.stop()
        await self._looking_ahead.stop()
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
                await self._hear(item)
            case m.MicStart():
                await self._open_mic(item)
            case m.MicStop():
                if self._mic is not None and self._mic.start.stream == item.stream:
                    await self._listen(self._mic.ear.release(self._clock()))
                    await self._close_mic()
            case m.TextInput():
                self._typed = item.text
                self._happen(Event.TEXT)
            case m.Attend():
                await self._warming.stop()
                if item.attending:
                    self._warm()
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
        deadlines = [self._actions.next_deadline, self._cut_deadline, self._mic_deadline]
        if self._turn is not None:
            deadlines.append(self._turn.patience_ends_s)
        first = min((at for at in deadlines if at is not None), default=math.inf)
        return None if first == math.inf else max(0.0, first - self._clock())

    async def _look_at_clock(self) -> None:
        if self._cut_deadline is not None and self._clock() >= self._cut_deadline:
            self._happen(Event.PLAYBACK_STOPPED)
        if self._mic is not None and self._mic_deadline is not None and self._clock() >= self._mic_deadline:
            log.warning("%s: the microphone fell silent in the middle of an utterance", self.npc_id)
            await self._listen(self._mic.ear.release(self._clock()))
            self._lose_speech()
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
    def _mic_deadline(self) -> float | None:
        if self._mic is None or not self._is_hearing:
            return None
        return self._mic.heard_s + MIC_PATIENCE_S

    @property
    def _is_hearing(self) -> bool:
        """Whether the turn is the player's, who speaks."""
        return self.state in (State.LISTENING, State.BARGE_IN)

    async def _open_mic(self, start: m.MicStart) -> None:
        await self._close_mic()
        now = self._clock()
        ear = Ear(self._rooms.vad, self._rooms.asr, self._stage.settings.turn, start.mode, now)
        self._mic = Microphone(start, ear, now)
        if start.mode == "push_to_talk":
            self._happen(Event.SPEECH_START)

    async def _close_mic(self) -> None:
        """Let go of the microphone; what it was in the middle of is lost."""
        mic, self._mic = self._mic, None
        self._lose_speech()
        if mic is not None:
            with contextlib.suppress(Exception):  # it may be closed because its recogniser failed
                await mic.ear.abandon()

    def _lose_speech(self) -> None:
        if self._is_hearing:
            self._happen(Event.SPEECH_LOST)

    async def _hear(self, frame: MicFrame) -> None:
        for at in range(0, len(frame.pcm), PIECE_BYTES):
            if self._mic is None or self._mic.start.stream != frame.stream:
                return
            piece = frame.pcm[at : at + PIECE_BYTES]
            later = len(frame.pcm) - at - len(piece)
            await self._listen(self._mic.ear.hear(piece, frame.arrived_s - later / SAMPLE_BYTES / MIC_RATE))
            if self._mic is not None:
                self._mic.heard_s = self._clock()

    async def _listen(self, events: AsyncGenerator[HeardEvent, None]) -> None:
        """Take what the ear hears. If it fails, the utterance is lost and told; an open microphone listens on."""
        try:
            async with asyncio.timeout(HEARING_PATIENCE_S), contextlib.aclosing(events):
                async for event in events:
                    self._heard(event)
            return
        except TimeoutError:
            late = f"The recogniser did not answer within {HEARING_PATIENCE_S:.0f} s."
            self._explain(EngineError(late, remedy="Try again."), self._turn)
        except Exception as error:
            self._explain(error, self._turn)
        mic, was_hearing = self._mic, self._is_hearing
        await self._close_mic()
        # What fails without a word having been spoken would fail for every frame: then it stays closed.
        if mic is not None and mic.start.mode == "open" and was_hearing:
            self._mic = mic

    def _heard(self, event: HeardEvent) -> None:
        match event:
            case SpeechBegan():
                self._happen(Event.SPEECH_START)
            case Partial() if self._turn is not None and self._is_hearing:
                turn_id = self._turn.turn_id
                self._outlet.send(
                    m.ASRPartial(npc_id=self.npc_id, turn_id=turn_id, text=event.text, stable=event.stable)
                )
                words = event.text  # one look ahead at a time; the next one sees more
                self._looking_ahead.begin(lambda: self._thought.anticipate(words))
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
                case Command.RESPOND:
                    self._respond()
                case Command.CUT:
                    self._cut_off("error" if event is Event.FAILED else "barge_in")
                case Command.SETTLE:
                    self._settle()
        if self.state is not before:
            turn_id = self._turn.turn_id if self._turn is not None else ""
            self._outlet.send(m.NpcState(npc_id=self.npc_id, turn_id=turn_id, state=self.state.value))
            if self.state is State.IDLE and event is not Event.LEAVE:
                self._warm()

    def _open_turn(self, event: Event) -> None:
        self._turns += 1
        turn = Turn(f"t-{self._born}-{self._turns}", self._turns, self._wall())
        if event is Event.TEXT:
            turn.words, turn.source = self._typed, "text"
            now = self._clock()
            for mark in (Mark.SPEECH_START, Mark.SPEECH_END, Mark.SOFT_END, Mark.HARD_END, Mark.ASR_FINAL):
                turn.timeline.mark(mark, now)
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
        self._history.add(turn.turn_id, turn.words, heard)
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
            await self._warming.stop()
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
        question = await self._thought.recall(turn.turn_id, turn.words, understood=understood, seed=turn.number)
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

    def _warm(self) -> None:
        """Bring the KV cache up to the plain history in idle time, so that the next turn only adds what is new."""
        prompt = self._thought.resting_prompt()

        async def attend() -> None:
            await self._rooms.llm.attend(self.npc_id, prompt)
            if self._rooms.embedder is not None:
                await self._rooms.store.embed_heard(self._rooms.embedder)

        self._warming.begin(attend)

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
