"""One character: its mailbox, its turns, and the order in which a turn goes through the rooms.

    hearing  vad -> asr
    ahead    while the player speaks: memory -> llm reads ahead
    answers  from the first pause on, and let out when the player's turn is over:
             thought  dialogue -> memory -> llm
             reply    guardrails -> phrases -> tts -> visemes -> the client

What happens when is decided by dialogue/state.py; this file carries its commands out, each change of state whole: there
is no `await` within one. An answer's work is one task, which a barge-in cancels; what was heard of it is settled by the
character afterwards, which is why that waits for the client's `PlaybackStopped` (for a bounded time) and not for the
answer. Whoever else might never answer has a bound, too: the microphone, the recogniser, and everything in an answer.
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

from mythicd.character.conversation_log import Diary
from mythicd.character.environment import Rooms, Surroundings
from mythicd.character.fillers import Murmuring
from mythicd.character.hear.microphone import Hearing
from mythicd.character.hear.turn_taking import Listening
from mythicd.character.mailbox import Mailbox, MicFrame
from mythicd.character.residency import Presence
from mythicd.character.responder import Answers
from mythicd.character.routing import Intercom
from mythicd.character.speak.speech_output import DUCKED_DB
from mythicd.character.speak.tool_dispatch import Actions
from mythicd.character.speak.voice_stream import Outlet
from mythicd.character.think.generation import Thought
from mythicd.character.think.prefetch import LookAhead
from mythicd.character.turn import ANSWER_PATIENCE_S, Revision, Turn
from mythicd.dialogue.history import History
from mythicd.dialogue.state import TOLD, Command, Event, State, advance
from mythicd.errors import Busy, EngineError, MythicError
from mythicd.telemetry.timeline import Mark
from mythicd.wire import codec
from mythicd.wire import messages as m

log = logging.getLogger(__name__)

CUT_TIMEOUT_S = 0.5
"""How long a client may take to fall silent after a `Cutoff` before the playhead it last sent is believed."""


@dataclass(frozen=True, slots=True)
class Happened:
    """Something that an answer's own work reports to its character."""

    revision: Revision
    event: Event


@dataclass(frozen=True, slots=True)
class Progressed:
    """This answer has begun to be spoken, or a call of it has got its place in the audio: something may be due."""

    revision: Revision


Playback = m.PlaybackStarted | m.Playhead | m.PlaybackStopped
Post = m.MicStart | m.MicStop | m.TextInput | m.Attend | Playback | m.Ack | Happened | Progressed


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
            echo=stage.echo,
            is_hearing=lambda: self._listening.is_hearing,
            on_event=lambda event: self._listening.hear(event),
            on_lost=lambda: self._listening.lose(),
            on_error=lambda error: self._explain(error, self._turn.turn_id if self._turn is not None else ""),
        )
        self._ahead = LookAhead(
            npc_id,
            llm_id,
            self._thought,
            rooms.llm,
            is_free=lambda: self.state is State.LISTENING,
            ready=self._ready,
        )
        self._listening = Listening(
            self,
            self._hearing,
            self._ahead,
            rooms.figures,
            stage,
            send=outlet.send,
            clock=clock,
        )
        self._murmuring = Murmuring(npc_id, stage, rooms, outlet, intercom, clock=clock)
        self._presence = Presence(
            npc_id,
            llm_id,
            rooms,
            self._ahead,
            resting_prompt=self._thought.resting_prompt,
            compact=self._diary.compact_history,
            quiet=lambda: self._answers.quiet(),
            rehearse=self._murmuring.rehearse,
        )
        self._answers = Answers(
            npc_id,
            stage,
            rooms,
            outlet,
            intercom,
            thought=self._thought,
            ahead=self._ahead,
            actions=self._actions,
            clock=clock,
            guess=self._hearing.guess,
            pause=self._presence.pause,
            on_words=self._listening.wait_for_more,
            report=lambda revision, event: self._mailbox.post_own(Happened(revision, event)),
            on_progress=lambda revision: self._mailbox.post_own(Progressed(revision)),
            explain=self._explain,
        )
        self._turns = 0
        self._turn: Turn | None = None
        """The turn that is being heard or answered."""
        self._under: Turn | None = None
        """The turn whose voice sounds, or was cut and is not settled yet, while the player is being heard."""
        self._cut_deadline: float | None = None
        self._typed = ""
        self._life: asyncio.Task[None] | None = None

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
        self.happen(Event.LEAVE)
        await self._hearing.close()
        await self._listening.close()
        await self._answers.close()
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
                self._listening.weigh()
                if self._turn is not None and self.state in (State.LISTENING, State.PAUSING):
                    self._murmuring.listen(self._turn, self._hearing.voiced_ms, self._hearing.pause_ms)
            case m.MicStart():
                self._presence.address()
                await self._hearing.open(item, self._stage.settings.turn)
                if item.mode == "push_to_talk":
                    self._listening.take_floor()
                self._presence.come(self.state)
            case m.MicStop():
                await self._hearing.release(item.stream)
            case m.TextInput():
                self._typed = item.text
                self._presence.address()
                self.happen(Event.TEXT)
            case m.Attend():
                (self._presence.come if item.attending else self._presence.go)(self.state)
            case m.PlaybackStarted() | m.Playhead() | m.PlaybackStopped():
                self._follow_playback(item)
            case m.Ack():
                self._actions.acknowledge(item)
            case Progressed():
                turn = self._turn_of(item.revision)
                if turn is not None:
                    self._release_calls(turn)
            case Happened():
                turn = self._turn_of(item.revision)
                known = item.event is Event.VOICE and self.state is not State.THINKING
                # Of a voice that was cut only the client's word counts; one that is merely ducked may end by itself.
                if turn is not None and not known and (turn is self._turn or self.state is State.DUCKED):
                    self.happen(item.event)

    def _patience_s(self) -> float | None:
        """Return how long to wait for the next message before the clock has something to say; None for ever."""
        deadlines = [self._actions.next_deadline, self._cut_deadline, self._hearing.deadline_s]
        deadlines += [turn.revision.patience_ends_s for turn in self._open_turns() if turn.revision is not None]
        if self.state is State.THINKING and self._turn is not None:
            deadlines.append(self._murmuring.late_s(self._turn))
        first = min((at for at in deadlines if at is not None), default=math.inf)
        return None if first == math.inf else max(0.0, first - self._clock())

    async def _look_at_clock(self) -> None:
        if self._cut_deadline is not None and self._clock() >= self._cut_deadline:
            self.happen(Event.PLAYBACK_STOPPED)
        await self._hearing.look_at_clock()
        if self.state is State.THINKING and self._turn is not None:
            self._murmuring.look(self._turn)
        for turn in self._open_turns():
            revision = turn.revision
            ends_s = None if revision is None or self._cut_deadline is not None else revision.patience_ends_s
            if revision is not None and ends_s is not None and self._clock() >= ends_s:
                gone = f"The answer of {self.npc_id} got no further for {ANSWER_PATIENCE_S:.0f} s and was given up."
                self._explain(EngineError(gone, remedy="Try again; a smaller model answers sooner."), turn.turn_id)
                self._answers.stop(revision, "error")
                self.happen(Event.FAILED)
        for call, error in self._actions.look_at_clock():
            self._outlet.send(codec.describe(error, npc_id=self.npc_id, turn_id=call.turn_id, call_id=call.call_id))

    # --- what is asked while it listens (listening.Dialogue) ----------------------------------------------------------

    @property
    def turn(self) -> Turn | None:
        """The turn that is being heard or answered."""
        return self._turn

    def has_acted(self, turn: Turn) -> bool:
        """Whether a tool call of this turn is with the game."""
        return bool(self._actions.deeds(turn.turn_id))

    # --- what the state machine commands -----------------------------------------------------------------------------

    def happen(self, event: Event) -> None:
        """Advance the state and carry out what that asks for."""
        before = self.state
        self.state, commands = advance(self.state, event)
        for command in commands:
            self._obey(command, event)
        if self.state is before:
            return
        self._listening.follow(self.state)
        if TOLD[self.state] != TOLD[before]:
            turn_id = self._turn.turn_id if self._turn is not None else ""
            self._outlet.send(m.NpcState(npc_id=self.npc_id, turn_id=turn_id, state=TOLD[self.state]))
        if event is Event.LEAVE:
            return
        if event is Event.VOICE and self._turn is not None:
            self._note_words(self._turn)
        self._presence.follow(self.state)
        if self.state is State.IDLE:
            self._presence.rest()
        elif self.state is State.LISTENING:
            self._ahead.resume()

    def _obey(self, command: Command, event: Event) -> None:
        turn = self._turn
        match command:
            case Command.OPEN_TURN:
                self._open_turn(event)
            case Command.DROP_TURN:
                self._turn = None
                self._ahead.drop()
            case Command.PREPARE:
                assert turn is not None, "the state table opens a turn before it is answered"
                self._answers.prepare(turn)
            case Command.ROLLBACK:
                assert turn is not None, "the state table opens a turn before it is answered"
                if turn.revision is not None and turn.revision.commitment.is_committed:
                    turn.before = turn.words
                self._answers.undo(turn)
                if turn.tries:
                    self._murmuring.rolled_back()
            case Command.COMMIT:
                assert turn is not None, "the state table opens a turn before it is answered"
                self._answers.commit(turn)
                self._release_calls(turn)
            case Command.DUCK:
                if turn is not None and turn.reply is not None:
                    turn.reply.duck(DUCKED_DB)
                self._turn, self._under = None, turn
            case Command.RESTORE:
                self._turn, self._under = self._under, None
                if self._turn is not None and self._turn.reply is not None:
                    self._turn.reply.duck(0.0)
            case Command.CUT:
                self._cut_off("error" if event is Event.FAILED else "barge_in")
            case Command.SETTLE:
                self._settle()

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
            self._murmuring.begin()
        self._turn = turn

    def _cut_off(self, reason: Literal["barge_in", "error"]) -> None:
        if self._under is None:
            self._turn, self._under = None, self._turn
        if self._under is None:
            return
        self._cut_deadline = self._clock() + CUT_TIMEOUT_S
        if self._under.revision is not None:
            self._answers.stop(self._under.revision, reason)

    def _settle(self) -> None:
        """Write down what was heard of a turn, and let go of what was not."""
        turn, self._under, self._cut_deadline = self._under, None, None
        if turn is None:
            turn, self._turn = self._turn, None
        if turn is None:
            return
        self._release_calls(turn)
        self._actions.cancel(turn.turn_id)
        if turn.revision is not None:
            self._actions.told(turn.revision.failures)
        written = turn.reply.text if turn.reply is not None else ""
        heard = turn.reply.heard if turn.reply is not None else ""
        self._note_words(turn)
        self._history.add(turn.turn_id, turn.words, heard, self._actions.deeds(turn.turn_id))
        self._diary.shorten_history(self._thought.resting_prompt())
        if written:
            self._diary.said(turn.turn_id, written, heard, turn.started_at)
        self._count(turn)
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

    def _note_words(self, turn: Turn) -> None:
        """Write down what the player said, once: when the answer sounds, or there will be none. Until then the player
        may go on, and say more."""
        if turn.words and not turn.noted:
            turn.noted = True
            self._diary.player_said(turn.turn_id, turn.words, turn.started_at, turn.source)

    def _count(self, turn: Turn) -> None:
        self._murmuring.learn(turn)
        figures, timeline = self._rooms.figures, turn.timeline
        audible = timeline.between_ms(Mark.SPEECH_END, Mark.FIRST_AUDIBLE)
        if audible is not None:
            figures.audible.observe(audible / 1000)
            masked = timeline.between_ms(Mark.SPEECH_END, Mark.FIRST_MURMUR)
            figures.masked.observe((audible if masked is None else masked) / 1000)

    # --- playback ----------------------------------------------------------------------------------------------------

    def _open_turns(self) -> list[Turn]:
        return [turn for turn in (self._turn, self._under) if turn is not None]

    def _turn_of(self, revision: Revision) -> Turn | None:
        """Return the turn whose answer this is; None for one that was taken back, or is over."""
        return next((turn for turn in self._open_turns() if turn.revision is revision), None)

    def _follow_playback(self, message: Playback) -> None:
        now = self._clock()
        for turn in self._open_turns():
            if turn.reply is None or turn.reply.stream != message.stream:
                continue
            match message:
                case m.PlaybackStarted():
                    turn.reply.started(now)
                case m.Playhead():
                    turn.reply.played(message.played_samples, now)
                case m.PlaybackStopped():
                    turn.reply.stopped(message.played_samples, now)
            self._release_calls(turn)
            is_cut = turn is self._under and self._cut_deadline is not None
            if is_cut and isinstance(message, m.PlaybackStopped):
                self.happen(Event.PLAYBACK_STOPPED)
            return

    def _release_calls(self, turn: Turn) -> None:
        """Send the calls whose words have been heard by now."""
        for call_id in turn.reply.due() if turn.reply is not None else ():
            self._actions.send(call_id)

    # --- between turns -----------------------------------------------------------------------------------------------

    async def _ready(self) -> None:
        """Wait until the model has nothing else to do for this character."""
        await self._presence.pause()
        await self._answers.quiet()

    # --- what is told ------------------------------------------------------------------------------------------------

    def _tell(self, error: MythicError, turn_id: str = "") -> None:
        self._outlet.send(codec.describe(error, npc_id=self.npc_id, turn_id=turn_id))

    def _explain(self, error: BaseException, turn_id: str = "") -> None:
        """Tell the client what went wrong. What nobody foresaw stands in the log, and the client gets its number."""
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
