"""One character: its mailbox, its turns, and the order in which a turn goes through the rooms.

    ear      vad -> asr
    thought  dialogue -> memory -> llm
    reply    guardrails -> phrases -> tts -> visemes -> the client

What happens when is decided by dialogue/state.py; this file carries its commands out. A turn's work is one task, which
a barge-in cancels; what was heard of it is settled by the character afterwards, which is why that waits for the
client's `PlaybackStopped` (for a bounded time) and not for the turn.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from mythicd import messages as m
from mythicd import wire
from mythicd.actions import Actions
from mythicd.asr.transcript import Partial
from mythicd.dialogue.history import History
from mythicd.dialogue.state import Command, Event, State, advance
from mythicd.ear import Ear, HeardEvent, SpeechBegan, UtteranceEnded
from mythicd.engines import Recognition
from mythicd.errors import Busy, MythicError
from mythicd.intercom import Intercom
from mythicd.mailbox import Mailbox, MicFrame
from mythicd.memory.records import Speaker, ToolRecord, Utterance
from mythicd.notebook import Notebook
from mythicd.reply import Outlet, Reply
from mythicd.thought import Rooms, Surroundings, Thought, estimate_tokens
from mythicd.timeline import Mark, Timeline

log = logging.getLogger(__name__)

CUT_TIMEOUT_S = 0.5
"""How long a client may take to fall silent after a `Cutoff` before the playhead it last sent is believed."""
REMEMBERED = 24
"""Utterances from before the daemon's start that a history is made of."""


@dataclass(slots=True)
class Turn:
    """The player's words and the character's reply to them."""

    turn_id: str
    number: int
    started_at: float
    """Wall clock."""
    timeline: Timeline = field(default_factory=Timeline)
    words: str = ""
    confidence: float = 1.0
    source: str = "speech"
    reply: Reply | None = None
    work: asyncio.Task[None] | None = None


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
        self._notebook = Notebook(npc_id, self._tell)
        self._history = History()
        # Turn and call ids are unique among starts of the daemon: they stand in the memory database.
        self._born = secrets.token_hex(3)
        self._actions = Actions(
            npc_id,
            f"{npc_id[:32]}-{self._born}",
            send=outlet.send,
            record=self._note_call,
            intercom=intercom,
            clock=clock,
            wall=wall,
        )
        self._thought = Thought(
            npc_id, stage, rooms, self._history, self._actions, send=outlet.send, clock=clock, wall=wall
        )
        self._ears: dict[int, Ear] = {}
        self._turns = 0
        self._turn: Turn | None = None
        """The turn that is being heard or answered."""
        self._cut: Turn | None = None
        """The turn that was cut off and is not settled yet."""
        self._cut_deadline: float | None = None
        self._typed = ""
        self._life: asyncio.Task[None] | None = None
        self._idle_work: asyncio.Task[None] | None = None
        self._looking_ahead: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Come to life: from now on the mailbox is read."""
        self._notebook.open()
        self._life = asyncio.create_task(self._live(), name=f"{self.npc_id} lives")

    def post(self, item: Post | MicFrame) -> None:
        """Put something in the mailbox. Raises Busy when it is full."""
        if isinstance(item, MicFrame | m.MicStart | m.MicStop):
            self._mailbox.post_in_order(item)
        else:
            self._mailbox.post(item)

    async def close(self) -> None:
        """Fall silent, write down what was heard, and end."""
        if self._life is None:
            return
        self._life.cancel()
        await asyncio.gather(self._life, return_exceptions=True)
        self._life = None
        await self._happen(Event.LEAVE)
        for ear in self._ears.values():
            await ear.abandon()
        await self._stop_idle_work()
        if self._looking_ahead is not None:
            await self._looking_ahead
        await self._notebook.close()

    # --- the mailbox -------------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        try:
            await self._remember()
        except MythicError as error:
            self._tell(error)
        while True:
            deadlines = [at for at in (self._actions.next_deadline, self._cut_deadline) if at is not None]
            wait = max(0.0, min(deadlines) - self._clock()) if deadlines else None
            item = await self._mailbox.get(wait)
            try:
                await self._look_at_clock()
                if item is not None:
                    await self._take(item)
            except MythicError as error:
                self._tell(error)
            except Exception:
                self._fail()

    async def _take(self, item: Post | MicFrame) -> None:
        match item:
            case MicFrame():
                ear = self._ears.get(item.stream)
                for event in await ear.hear(item.pcm, item.arrived_s) if ear is not None else ():
                    await self._heard(event)
            case m.MicStart():
                await self._open_ear(item)
            case m.MicStop():
                ear = self._ears.pop(item.stream, None)
                ended = await ear.release(self._clock()) if ear is not None else None
                if ended is not None:
                    await self._heard(ended)
            case m.TextInput():
                self._typed = item.text
                await self._happen(Event.TEXT)
            case m.Attend():
                await self._stop_idle_work()
                if item.attending:
                    self._warm()
            case m.PlaybackStarted() | m.Playhead() | m.PlaybackStopped():
                await self._follow_playback(item)
            case m.Ack():
                self._actions.acknowledge(item)
            case Anchored():
                self._release_calls(item.turn)
            case Happened():
                if item.turn is self._turn:
                    await self._happen(item.event)

    async def _look_at_clock(self) -> None:
        if self._cut_deadline is not None and self._clock() >= self._cut_deadline:
            self._cut_deadline = None
            await self._happen(Event.PLAYBACK_STOPPED)
        for call, error in self._actions.look_at_clock():
            self._outlet.send(wire.describe(error, npc_id=self.npc_id, turn_id=call.turn_id, call_id=call.call_id))

    # --- hearing -----------------------------------------------------------------------------------------------------

    async def _open_ear(self, start: m.MicStart) -> None:
        for stream in list(self._ears):  # one player, one microphone: a new one takes the place of the old
            await self._ears.pop(stream).abandon()
            await self._heard(UtteranceEnded(Recognition("", 0.0), Timeline(), voiced=False))
        turn = self._stage.settings.turn
        self._ears[start.stream] = Ear(self._rooms.vad, self._rooms.asr, turn, start.mode, self._clock())
        if start.mode == "push_to_talk":
            await self._happen(Event.SPEECH_START)

    async def _heard(self, event: HeardEvent) -> None:
        turn = self._turn
        match event:
            case SpeechBegan():
                await self._happen(Event.SPEECH_START)
            case Partial() if turn is not None:
                self._outlet.send(
                    m.ASRPartial(npc_id=self.npc_id, turn_id=turn.turn_id, text=event.text, stable=event.stable)
                )
                self._anticipate(event.text)
            case UtteranceEnded() if turn is not None and self.state in (State.LISTENING, State.BARGE_IN):
                heard = event.recognition
                if not event.voiced and not heard.text:
                    await self._happen(Event.SPEECH_LOST)
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
                await self._happen(Event.SPEECH_END)

    def _anticipate(self, words: str) -> None:
        """Look ahead at what the player is saying; one look at a time, the next one sees more."""
        if self._looking_ahead is None or self._looking_ahead.done():
            self._looking_ahead = asyncio.create_task(self._look_ahead(words), name=f"{self.npc_id} looks ahead")

    async def _look_ahead(self, words: str) -> None:
        try:
            await self._thought.anticipate(words)
        except MythicError as error:
            log.warning("%s cannot look ahead: %s", self.npc_id, error)

    # --- what the state machine commands -----------------------------------------------------------------------------

    async def _happen(self, event: Event) -> None:
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
                    await self._cut_off("error" if event is Event.FAILED else "barge_in")
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
        turn.work = asyncio.create_task(self._work(turn), name=f"{self.npc_id} {turn.turn_id}")

    async def _cut_off(self, reason: Literal["barge_in", "error"]) -> None:
        turn, self._turn = self._turn, None
        if turn is None:
            return
        self._cut = turn
        if turn.work is not None:
            turn.work.cancel()
            await asyncio.gather(turn.work, return_exceptions=True)
        if turn.reply is not None and turn.reply.audible:
            self._outlet.drop_media(turn.reply.stream)
            self._outlet.send(m.Cutoff(stream=turn.reply.stream, reason=reason))
            self._cut_deadline = self._clock() + CUT_TIMEOUT_S

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
        self._shorten_history()
        if written:
            self._note_utterance(turn, Speaker("npc", self.npc_id), written, heard)
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

    async def _work(self, turn: Turn) -> None:
        """Make the reply. Whatever goes wrong in here costs this turn and nothing else."""
        outcome = Event.FAILED
        try:
            await self._stop_idle_work()
            await self._answer(turn)
            assert turn.reply is not None
            outcome = Event.PLAYBACK_STOPPED if turn.reply.audible else Event.REPLIED
        except BaseExceptionGroup as group:
            # The reply's three tasks end together; what ended them is told once.
            if group.subgroup(asyncio.CancelledError) is not None and group.subgroup(Exception) is None:
                raise asyncio.CancelledError from None
            self._explain(turn, _first(group))
        except Exception as error:
            self._explain(turn, error)
        self._mailbox.post(Happened(turn, outcome))

    async def _answer(self, turn: Turn) -> None:
        await self._stage.refresh()
        settings = self._stage.settings
        understood = bool(turn.words) and turn.confidence >= settings.asr.min_confidence
        question = await self._thought.recall(turn.turn_id, turn.words, understood=understood, seed=turn.number)
        if turn.words:
            self._note_utterance(turn, Speaker("player", self._stage.scope.player), turn.words, turn.words)
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
            on_voice=lambda: self._mailbox.post(Happened(turn, Event.VOICE)),
            on_anchor=lambda: self._mailbox.post(Anchored(turn)),
        )
        await reply.run(lambda: self._thought.answer(question, reply, turn.timeline))

    def _explain(self, turn: Turn, error: BaseException) -> None:
        """Tell the client why there is no answer, or no more of it."""
        if isinstance(error, Busy):
            self._outlet.send(m.Busy(npc_id=self.npc_id, reason=str(error), retry_after_ms=1000))
        elif isinstance(error, MythicError):
            self._tell(error, turn.turn_id)
        else:
            self._fail(turn.turn_id, error)

    async def _follow_playback(self, message: Playback) -> None:
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
                await self._happen(Event.PLAYBACK_STOPPED)
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
            try:
                await self._rooms.llm.attend(self.npc_id, prompt)
                if self._rooms.embedder is not None:
                    await self._rooms.store.embed_heard(self._rooms.embedder)
            except MythicError as error:
                log.warning("%s could not be warmed up: %s", self.npc_id, error)

        if self._idle_work is None or self._idle_work.done():
            self._idle_work = asyncio.create_task(attend(), name=f"{self.npc_id} warms up")

    async def _stop_idle_work(self) -> None:
        work, self._idle_work = self._idle_work, None
        if work is not None:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    async def _remember(self) -> None:
        """Take up the conversation where it was before the daemon was last started."""
        words: dict[str, str] = {}
        for said in await self._rooms.store.recent_utterances(self._stage.scope, self.npc_id, REMEMBERED):
            if said.speaker.kind == "player":
                words[said.turn_id] = said.text
            elif said.speaker.id == self.npc_id:
                self._history.add(said.turn_id, words.get(said.turn_id, ""), said.text)
        self._shorten_history()

    def _shorten_history(self) -> None:
        settings = self._stage.settings
        budgets = settings.rag.budgets
        prompt = self._thought.resting_prompt()
        fixed = estimate_tokens(prompt.world + prompt.character)
        fixed += budgets.lore + budgets.recent + budgets.scene + settings.llm.max_tokens
        self._history.shorten(max(0, settings.kv.max_ctx_tokens - fixed), estimate_tokens)

    # --- what is written down, and what is told ----------------------------------------------------------------------

    def _note_utterance(self, turn: Turn, speaker: Speaker, text: str, heard: str) -> None:
        scene = self._stage.scene(self.npc_id)
        said = Utterance(
            self.npc_id,
            turn.turn_id,
            speaker,
            text,
            turn.started_at,
            self._stage.present(self.npc_id),
            heard_text=heard,
            ended_at=self._wall(),
            game_time=scene.time if scene is not None else "",
            zone=self._stage.zone(self.npc_id),
            source=turn.source if speaker.kind == "player" else "speech",
        )
        self._notebook.add(lambda: self._rooms.store.record_utterance(self._stage.scope, said))

    def _note_call(self, record: ToolRecord) -> None:
        self._notebook.add(lambda: self._rooms.store.record_tool(self._stage.scope, record))

    def _tell(self, error: MythicError, turn_id: str = "") -> None:
        self._outlet.send(wire.describe(error, npc_id=self.npc_id, turn_id=turn_id))

    def _fail(self, turn_id: str = "", error: BaseException | None = None) -> None:
        """Something happened that nobody foresaw: it stands in the log, and the client gets its number."""
        reference = secrets.token_hex(4)
        log.error("unexpected failure %s of %s", reference, self.npc_id, exc_info=error or True)
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


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first ordinary error in a group, however deep it lies."""
    for error in group.exceptions:
        inner = _first(error) if isinstance(error, BaseExceptionGroup) else error
        if isinstance(inner, Exception):
            return inner
    return group.exceptions[0]
