"""One character: an actor with a mailbox, and the order in which a turn goes through its stages.

    hear       microphone -> vad -> asr -> turn-taking
    prefetch   while the player speaks: memory -> llm evaluates the turn ahead
    responder  from the first soft end on, and sent when the player's turn is over:
               think  memory -> prompt -> llm
               speak  guardrails -> phrases -> tts -> visemes -> the client

dialogue/state.py decides what happens when; this file carries out its commands, each change of state without an
`await`. A response's work is one task, which a barge-in cancels; what was heard of it is settled afterwards, when the
client says that playback stopped (for a bounded time). Everything that may never answer has a deadline.
"""

from __future__ import annotations

import asyncio
import math
import secrets
from dataclasses import dataclass
from typing import Literal

from mythicd.character.conversation_log import ConversationLog
from mythicd.character.environment import CharacterContext
from mythicd.character.fillers import Fillers
from mythicd.character.hear.current_speech import CurrentSpeech
from mythicd.character.hear.microphone import MicrophoneInput
from mythicd.character.hear.turn_taking import TurnTaking
from mythicd.character.mailbox import Mailbox, MicFrame
from mythicd.character.residency import Residency
from mythicd.character.responder import Responder
from mythicd.character.speak.speech_output import DUCKED_DB
from mythicd.character.speak.tool_dispatch import ToolDispatch
from mythicd.character.think.context import ContextBuilder
from mythicd.character.think.generation import ReplyGenerator
from mythicd.character.think.model_session import ModelSession
from mythicd.character.think.prefetch import Prefetch
from mythicd.character.turn import RESPONSE_PATIENCE_S, Response, ResponseEvent, ResponseProgress, Turn
from mythicd.dialogue.history import History
from mythicd.dialogue.state import TOLD, Command, Event, State, advance
from mythicd.engines.llm import Prompt
from mythicd.errors import EngineError
from mythicd.telemetry.timeline import Mark
from mythicd.wire import messages as m

CUT_TIMEOUT_S = 0.5
"""How long a client may take to fall silent after a `Cutoff` before the playhead it last sent is believed."""

PlaybackReport = m.PlaybackStarted | m.Playhead | m.PlaybackStopped
Post = m.MicStart | m.MicStop | m.TextInput | m.Attend | PlaybackReport | m.Ack | ResponseEvent | ResponseProgress


@dataclass(frozen=True, slots=True)
class CharacterSnapshot:
    """Where a character stands, for the dashboard and for tests."""

    state: State
    turn_id: str
    """The turn that is being heard or answered; empty where there is none."""
    responses: int
    """Responses whose work has not ended."""
    awaited_calls: int
    """Tool calls whose result a reply waits for."""


class Character:
    """One character of one playthrough."""

    def __init__(self, context: CharacterContext) -> None:
        self.npc_id = context.npc_id
        self.state = State.IDLE
        self._context = context
        # Turn and call ids are unique among starts of the daemon: they stand in the memory database.
        self._instance_id = secrets.token_hex(3)
        self._mailbox: Mailbox[Post] = Mailbox()
        self._history = History()
        self._log = ConversationLog(context, self._history)
        self._tools = ToolDispatch(context, f"{context.npc_id[:32]}-{self._instance_id}", self._log.log_call)
        self._session = ModelSession(context, self._history)
        builder = ContextBuilder(context, self._history, self._tools)
        generator = ReplyGenerator(context, self._session, builder, self._tools, self._history)
        self._prefetch = Prefetch(context, self._session, builder)
        self._fillers = Fillers(context)
        self._residency = Residency(context, self._session, self._log, self._fillers)
        self._current = CurrentSpeech(context)
        self._responder = Responder(
            context, self._session, generator, self._prefetch, self._tools, self._current, self._mailbox.post_own
        )
        self._turn_taking = TurnTaking(context, self, self._current, self._prefetch, self._tools)
        self._microphone = MicrophoneInput(context, self._current, self._turn_taking)
        self._turns = 0
        self._turn: Turn | None = None
        """The turn that is being heard or answered."""
        self._overlapped_turn: Turn | None = None
        """The turn whose voice sounds, or was cut and is not settled yet, while the player is being heard."""
        self._cut_deadline_s: float | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start to read the mailbox."""
        self._log.open()
        self._task = asyncio.create_task(self._run(), name=f"character {self.npc_id}")

    def post(self, item: Post | MicFrame) -> None:
        """Put something in the mailbox. Raises Busy when it is full."""
        if isinstance(item, MicFrame | m.MicStart | m.MicStop):
            self._mailbox.post_in_order(item)
        else:
            self._mailbox.post(item)

    async def close(self) -> None:
        """Stop speaking, log what was heard, and end."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self.happen(Event.LEAVE)
        await self._microphone.close()
        await self._turn_taking.close()
        await self._responder.close()
        await self._prefetch.stop()
        await self._session.close()
        await self._log.close()

    def snapshot(self) -> CharacterSnapshot:
        """Return where the character stands."""
        turn_id = self._turn.turn_id if self._turn is not None else ""
        return CharacterSnapshot(self.state, turn_id, self._responder.working, self._tools.awaited)

    def resting_prompt(self) -> Prompt:
        """Return the prompt as it stands between turns."""
        return self._session.resting_prompt()

    # --- the mailbox -------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            await self._log.restore_history()
            self._log.shorten_history(self._session.resting_prompt())
        except Exception as error:
            self._context.report(error)
        while True:
            item = await self._mailbox.get(self._until_deadline_s())
            try:
                await self._check_deadlines()
                if item is not None:
                    await self._handle(item)
            except Exception as error:
                self._context.report(error)

    async def _handle(self, item: Post | MicFrame) -> None:
        match item:
            case MicFrame():
                await self._microphone.receive(item)
                self._turn_taking.judge_duration()
                if self._turn is not None and self.state in (State.LISTENING, State.PAUSING):
                    self._fillers.consider_backchannel(self._turn, self._current.voiced_ms, self._current.pause_ms)
            case m.MicStart():
                self._residency.address()
                await self._microphone.open(item)
                if item.mode == "push_to_talk":
                    self._turn_taking.take_floor()
                self._residency.enter_view(self.state)
            case m.MicStop():
                await self._microphone.release(item.stream)
            case m.TextInput():
                self._residency.address()
                self.happen(Event.TEXT, words=item.text)
            case m.Attend():
                (self._residency.enter_view if item.attending else self._residency.leave_view)(self.state)
            case m.PlaybackStarted() | m.Playhead() | m.PlaybackStopped():
                self._update_playback(item)
            case m.Ack():
                self._tools.acknowledge(item)
            case ResponseProgress():
                turn = self._turn_of(item.response)
                if turn is not None:
                    self._release_calls(turn)
            case ResponseEvent():
                turn = self._turn_of(item.response)
                known = item.event is Event.VOICE and self.state is not State.THINKING
                # A voice that was cut ends when the client says so; one that is only ducked may end by itself.
                if turn is not None and not known and (turn is self._turn or self.state is State.DUCKED):
                    self.happen(item.event)

    def _until_deadline_s(self) -> float | None:
        """Return the seconds until the next deadline; None when there is none."""
        deadlines = [self._tools.next_deadline, self._cut_deadline_s, self._microphone.deadline_s]
        deadlines += [turn.response.deadline_s for turn in self._open_turns() if turn.response is not None]
        if self.state is State.THINKING and self._turn is not None:
            deadlines.append(self._fillers.late_s(self._turn))
        first = min((at for at in deadlines if at is not None), default=math.inf)
        return None if first == math.inf else max(0.0, first - self._context.clock())

    async def _check_deadlines(self) -> None:
        if self._cut_deadline_s is not None and self._context.clock() >= self._cut_deadline_s:
            self.happen(Event.PLAYBACK_STOPPED)
        await self._microphone.check_deadline()
        if self.state is State.THINKING and self._turn is not None:
            self._fillers.consider_hesitation(self._turn)
        for turn in self._open_turns():
            response = turn.response
            deadline_s = None if response is None or self._cut_deadline_s is not None else response.deadline_s
            if response is not None and deadline_s is not None and self._context.clock() >= deadline_s:
                error = EngineError(
                    f"The reply of {self.npc_id} made no progress for {RESPONSE_PATIENCE_S:.0f} s and was given up.",
                    remedy="Try again; a smaller model answers sooner.",
                )
                self._context.report(error, turn.turn_id)
                self._responder.stop(response, "error")
                self.happen(Event.FAILED)
        self._tools.check_deadlines()

    # --- the dialogue (turn_taking.Dialogue) -------------------------------------------------------------------------

    @property
    def turn(self) -> Turn | None:
        """The turn that is being heard or answered."""
        return self._turn

    def happen(self, event: Event, *, words: str = "") -> None:
        """Advance the state and carry out its commands. `words` are those of a `TEXT` event."""
        before = self.state
        self.state, commands = advance(self.state, event)
        for command in commands:
            self._carry_out(command, event, words)
        if self.state is before:
            return
        self._turn_taking.on_state(self.state)
        self._prefetch.on_state(self.state)
        if TOLD[self.state] != TOLD[before]:
            turn_id = self._turn.turn_id if self._turn is not None else ""
            self._context.outlet.send(m.NpcState(npc_id=self.npc_id, turn_id=turn_id, state=TOLD[self.state]))
        if event is Event.LEAVE:
            return
        if event is Event.VOICE and self._turn is not None:
            self._log_words(self._turn)
        self._residency.update_focus(self.state)
        if self.state is State.IDLE:
            self._residency.start_upkeep()

    def _carry_out(self, command: Command, event: Event, words: str) -> None:
        turn = self._turn
        match command:
            case Command.OPEN_TURN:
                self._open_turn(words if event is Event.TEXT else None)
            case Command.DROP_TURN:
                self._turn = None
                self._prefetch.drop()
            case Command.PREPARE:
                assert turn is not None, "the state table opens a turn before it is answered"
                self._responder.prepare(turn)
            case Command.ROLLBACK:
                assert turn is not None, "the state table opens a turn before it is answered"
                if turn.response is not None and turn.response.gate.is_committed:
                    turn.before = turn.words
                self._responder.rollback(turn)
                if turn.tries:
                    self._fillers.rolled_back()
            case Command.COMMIT:
                assert turn is not None, "the state table opens a turn before it is answered"
                self._responder.commit(turn)
                self._release_calls(turn)
            case Command.DUCK:
                if turn is not None and turn.output is not None:
                    turn.output.duck(DUCKED_DB)
                self._turn, self._overlapped_turn = None, turn
            case Command.RESTORE:
                self._turn, self._overlapped_turn = self._overlapped_turn, None
                if self._turn is not None and self._turn.output is not None:
                    self._turn.output.duck(0.0)
            case Command.CUT:
                self._cut_off("error" if event is Event.FAILED else "barge_in")
            case Command.SETTLE:
                self._settle()

    def _open_turn(self, typed: str | None) -> None:
        """Begin a turn: with typed words, or with speech that is just beginning."""
        self._turns += 1
        turn = Turn(f"t-{self._instance_id}-{self._turns}", self._turns, self._context.wall())
        if typed is not None:
            turn.words, turn.source = typed, "text"
            now = self._context.clock()
            for mark in (Mark.SPEECH_START, Mark.SPEECH_END, Mark.SOFT_END, Mark.HARD_END, Mark.ASR_FINAL):
                turn.timeline.mark(mark, now)
        else:
            self._prefetch.open(turn.turn_id)
            self._fillers.begin()
        self._turn = turn

    def _cut_off(self, reason: Literal["barge_in", "error"]) -> None:
        if self._overlapped_turn is None:
            self._turn, self._overlapped_turn = None, self._turn
        if self._overlapped_turn is None:
            return
        self._cut_deadline_s = self._context.clock() + CUT_TIMEOUT_S
        if self._overlapped_turn.response is not None:
            self._responder.stop(self._overlapped_turn.response, reason)

    def _settle(self) -> None:
        """Log what was heard of a turn, and cancel what was not."""
        turn, self._overlapped_turn, self._cut_deadline_s = self._overlapped_turn, None, None
        if turn is None:
            turn, self._turn = self._turn, None
        if turn is None:
            return
        self._release_calls(turn)
        self._tools.cancel(turn.turn_id)
        if turn.response is not None and turn.response.input is not None:
            self._tools.mark_told(turn.response.input.failures)
        written = turn.output.text if turn.output is not None else ""
        heard = turn.output.heard if turn.output is not None else ""
        self._log_words(turn)
        self._history.add(turn.turn_id, turn.words, heard, self._tools.deeds(turn.turn_id))
        self._log.shorten_history(self._session.resting_prompt())
        if written:
            self._log.log_reply(turn.turn_id, written, heard, turn.started_at)
        self._count(turn)
        self._context.outlet.send(
            m.TurnTimeline(
                npc_id=self.npc_id,
                turn_id=turn.turn_id,
                marks=turn.timeline.relative_ms(),
                heard=turn.words,
                reply=written,
                played=heard,
            )
        )

    def _log_words(self, turn: Turn) -> None:
        """Log the player's words, once: when the reply is audible or will not come. Until then the player may go on."""
        if turn.words and not turn.noted:
            turn.noted = True
            self._log.log_player(turn.turn_id, turn.words, turn.started_at, turn.source)

    def _count(self, turn: Turn) -> None:
        self._fillers.observe(turn)
        counters, timeline = self._context.engines.counters, turn.timeline
        audible = timeline.between_ms(Mark.SPEECH_END, Mark.FIRST_AUDIBLE)
        if audible is not None:
            counters.audible.observe(audible / 1000)
            masked = timeline.between_ms(Mark.SPEECH_END, Mark.FIRST_MURMUR)
            counters.masked.observe((audible if masked is None else masked) / 1000)

    # --- playback ----------------------------------------------------------------------------------------------------

    def _open_turns(self) -> list[Turn]:
        return [turn for turn in (self._turn, self._overlapped_turn) if turn is not None]

    def _turn_of(self, response: Response) -> Turn | None:
        """Return the turn whose response this is; None for one that was rolled back, or is over."""
        return next((turn for turn in self._open_turns() if turn.response is response), None)

    def _update_playback(self, message: PlaybackReport) -> None:
        now = self._context.clock()
        for turn in self._open_turns():
            if turn.output is None or turn.output.stream != message.stream:
                continue
            match message:
                case m.PlaybackStarted():
                    turn.output.started(now)
                case m.Playhead():
                    turn.output.played(message.played_samples, now)
                case m.PlaybackStopped():
                    turn.output.stopped(message.played_samples, now)
            self._release_calls(turn)
            is_cut = turn is self._overlapped_turn and self._cut_deadline_s is not None
            if is_cut and isinstance(message, m.PlaybackStopped):
                self.happen(Event.PLAYBACK_STOPPED)
            return

    def _release_calls(self, turn: Turn) -> None:
        """Send the calls whose words have been heard by now."""
        for call_id in turn.output.due() if turn.output is not None else ():
            self._tools.send(call_id)
