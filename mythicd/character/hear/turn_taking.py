"""Turn-taking: what the player's speech means for the dialogue. The only place where sound becomes a dialogue event.

SpeechStart   the floor is free            -> SpeechStart
              the character speaks         -> its voice is ducked, and the speech is judged (dialogue/barge_in.py)
              the reply is not audible yet -> the player goes on: one turn, words joined
soft end      the words look complete      -> a short wait, and a response is prepared
              they do not                  -> a long one
              the character speaks         -> the speech is judged, and the wait is long
hard end                                   -> the words are final
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from mythicd.asr.transcript import Partial
from mythicd.character.environment import CharacterContext
from mythicd.character.hear.current_speech import CurrentSpeech
from mythicd.character.hear.speech_input import SpeechEvent, UtteranceHardEnd, UtteranceSoftEnd
from mythicd.character.speak.tool_dispatch import ToolDispatch
from mythicd.character.think.prefetch import Prefetch
from mythicd.character.turn import Turn
from mythicd.concurrency.background_task import BackgroundTask
from mythicd.dialogue.barge_in import BargeIn, BargeInSettings, Verdict
from mythicd.dialogue.state import Event, State
from mythicd.telemetry.timeline import Mark
from mythicd.vad.endpointer import SpeechResumed, SpeechStart
from mythicd.wire import messages as m

PLAYERS_OWN = frozenset((State.LISTENING, State.PAUSING, State.DUCKED, State.BARGE_IN))
"""States in which the player is being heard."""

ASK_AFTER_S = 0.08
"""How much longer than the soft end a pause over the character's voice must last before it is judged. "Mm-hm" is told
from noise by the silence after it: with the soft end's 60 ms alone none of 8 was, with 40 ms more 5, with 80 ms 7."""


class Dialogue(Protocol):
    """Where the dialogue stands (character.character.Character)."""

    state: State

    @property
    def turn(self) -> Turn | None:
        """The turn that is being heard or answered."""

    def happen(self, event: Event) -> None:
        """Advance the state, and carry out its commands."""


class TurnTaking:
    """One character's turn-taking. Implements `SpeechSink`."""

    def __init__(
        self,
        context: CharacterContext,
        dialogue: Dialogue,
        current: CurrentSpeech,
        prefetch: Prefetch,
        tools: ToolDispatch,
    ) -> None:
        self._context = context
        self._dialogue = dialogue
        self._current = current
        self._prefetch = prefetch
        self._tools = tools
        self._barge_in: BargeIn | None = None
        """The evidence about speech over the character's voice, until that speech ends."""
        self._asking = BackgroundTask(f"{context.npc_id} barge-in recognition")

    # --- the microphone's events (SpeechSink) ------------------------------------------------------------------------

    @property
    def is_hearing(self) -> bool:
        """Whether the player is being heard."""
        return self._dialogue.state in PLAYERS_OWN

    def heard(self, event: SpeechEvent) -> None:
        """Take an event of the utterance."""
        turn = self._dialogue.turn
        match event:
            case SpeechStart():
                self._barge_in = None
                self._begin()
            case SpeechResumed() if not self.is_hearing:
                self._begin()  # speech that seemed to be over, and was dropped
            case Partial() if turn is not None and self.is_hearing:
                words = Partial(turn.with_before(event.text), turn.with_before(event.stable), event.at_s)
                self._context.outlet.send(
                    m.ASRPartial(
                        npc_id=self._context.npc_id, turn_id=turn.turn_id, text=words.text, stable=words.stable
                    )
                )
                turn.words = words.text
                self._prefetch.add_partial(words)
            case UtteranceSoftEnd() if turn is not None and self.is_hearing:
                if self._dialogue.state is State.DUCKED:
                    self._asking.replace(self._ask)
                else:
                    self._current.end_after_words(turn.with_before(event.words))
                    self._dialogue.happen(Event.SOFT_END)
            case SpeechResumed() if self._dialogue.state is not State.DUCKED:
                self._dialogue.happen(Event.SPEECH_RESUMED)
            case UtteranceHardEnd() if turn is not None and self.is_hearing:
                self._end(turn, event)

    def lost(self) -> None:
        """What seemed to be speech was not, or its microphone is gone; words that were final once stay final."""
        turn = self._dialogue.turn
        if turn is not None and turn.before and self._dialogue.state in (State.LISTENING, State.PAUSING):
            turn.words = turn.before
            self._dialogue.happen(Event.HARD_END)
        else:
            self._dialogue.happen(Event.SPEECH_LOST)

    def failed(self, error: BaseException) -> None:
        """Report a failure of the microphone or the recogniser."""
        turn = self._dialogue.turn
        self._context.report(error, turn.turn_id if turn is not None else "")

    # --- the character's calls ---------------------------------------------------------------------------------------

    def take_floor(self) -> None:
        """The player presses the push-to-talk key."""
        self._acknowledge_voice()
        self._dialogue.happen(Event.FLOOR_TAKEN)

    def judge_duration(self) -> None:
        """Judge speech over the character's voice by its length and its words so far."""
        turn = self._dialogue.turn
        if self._barge_in is not None and turn is not None and self._dialogue.state is State.DUCKED:
            self._apply(self._barge_in.add(self._current.voiced_ms, turn.words))

    def on_state(self, state: State) -> None:
        """Take note of the dialogue's new state."""
        if state is State.DUCKED and self._barge_in is None:
            reliable = self._context.engines.asr.has_reliable_partials
            self._barge_in = BargeIn(BargeInSettings(has_reliable_partials=reliable))
        elif state is State.IDLE and self._barge_in is not None:
            # Playback ended and the overlap is decided: what comes now does not belong to it.
            self._current.end_after(self._context.settings.turn.wait_ms)

    async def close(self) -> None:
        """Stop asking the recogniser."""
        await self._asking.stop()

    # --- within ------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """The open microphone hears speech."""
        self._acknowledge_voice()
        turn = self._dialogue.turn
        if (
            self._dialogue.state is State.THINKING
            and turn is not None
            and (turn.source == "text" or self._tools.deeds(turn.turn_id))
        ):
            # Typed words are a whole turn, and a tool call that was sent can't be taken back.
            self._dialogue.happen(Event.FLOOR_TAKEN)
        else:
            self._dialogue.happen(Event.SPEECH_START)

    def _acknowledge_voice(self) -> None:
        """Take note of a first sound that has left, although its report is still in the mailbox."""
        turn = self._dialogue.turn
        if self._dialogue.state is State.THINKING and turn is not None and turn.output is not None:
            if turn.output.audible:
                self._dialogue.happen(Event.VOICE)

    async def _ask(self) -> None:
        """The speech over the character's voice has paused: ask the recogniser what it said, and judge it."""
        await asyncio.sleep(ASK_AFTER_S)
        if not self._current.pause_ms:
            return  # it was a stop within a word
        voiced_ms = self._current.voiced_ms  # of this pause: the utterance may be over before its words are known
        heard = await self._current.guess()
        if self._barge_in is None:
            return
        if not self._current.pause_ms:
            # Speech went on meanwhile, so nothing has ended; but a command is one already. (Had it paused again, a
            # newer question would have replaced this one.)
            self._apply(self._barge_in.add(voiced_ms, heard.text))
            return
        if self._dialogue.state is State.DUCKED:
            self._apply(self._barge_in.end(voiced_ms, heard.text, heard.confidence))
        # After an interruption the player is answered soon. After a backchannel the wait stays long: what comes within
        # it ("okay … stop") belongs to it, and both words are recognised together.
        if self.is_hearing and (turn := self._dialogue.turn) is not None:
            self._current.end_after_words(turn.with_before(heard.text))

    def _apply(self, verdict: Verdict) -> None:
        if self._dialogue.state is not State.DUCKED or verdict is Verdict.UNDECIDED:
            return
        if verdict is Verdict.INTERRUPTION:
            self._context.engines.counters.interruptions += 1
            self._dialogue.happen(Event.INTERRUPTED)
        else:
            self._context.engines.counters.backchannels += 1
            self._dialogue.happen(Event.SPEECH_LOST)

    def _end(self, turn: Turn, event: UtteranceHardEnd) -> None:
        heard = event.recognition
        barge_in, self._barge_in = self._barge_in, None
        if barge_in is not None and self._dialogue.state is State.DUCKED:
            self._apply(barge_in.end(event.voiced_ms, heard.text, heard.confidence))
            if not self.is_hearing:
                return
        if not event.voiced and not heard.text:
            if not turn.before:
                self._report_final(turn, "", heard.lang, 0.0)  # the key was pressed and released in silence
            self.lost()
            return
        turn.timeline = event.timeline
        if heard.text or not turn.before:
            turn.words, turn.confidence = turn.with_before(heard.text), heard.confidence
        else:  # a cough: the words before it still want a reply
            turn.words = turn.before
        turn.timeline.mark(Mark.ASR_FINAL, self._context.clock())
        self._report_final(turn, turn.words, heard.lang, turn.confidence)
        self._dialogue.happen(Event.HARD_END)

    def _report_final(self, turn: Turn, words: str, lang: str, confidence: float) -> None:
        npc_id = self._context.npc_id
        final = m.ASRFinal(npc_id=npc_id, turn_id=turn.turn_id, text=words, lang=lang, confidence=confidence)
        self._context.outlet.send(final)
