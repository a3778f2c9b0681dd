"""What is heard of the player, and what it means for the dialogue: the only place where sound becomes an event.

ear: somebody speaks     the floor is free            -> SpeechStart
                         she speaks                   -> she is softened, and what it is gets judged (Interruption)
                         the answer is not out yet    -> the player goes on: one turn, words joined
ear: a pause             the words look finished      -> a short wait, and an answer is prepared
                         they do not                  -> a long one
                         she speaks                   -> what was said is judged, and the wait is long
ear: over                                             -> the words are final
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from mythicd.asr.transcript import Partial
from mythicd.character.environment import Surroundings
from mythicd.character.hear.microphone import Hearing
from mythicd.character.hear.speech_input import HeardEvent, SpeechBegan, SpeechPaused, SpeechWentOn, UtteranceEnded
from mythicd.character.think.prefetch import LookAhead
from mythicd.character.turn import Turn
from mythicd.concurrency.background_task import SideWork
from mythicd.dialogue.barge_in import Interruption, Verdict
from mythicd.dialogue.end_of_turn import completeness
from mythicd.dialogue.state import Event, State
from mythicd.telemetry.counters import TurnFigures
from mythicd.telemetry.timeline import Mark
from mythicd.wire import messages as m

PLAYERS_OWN = frozenset((State.LISTENING, State.PAUSING, State.DUCKED, State.BARGE_IN))
"""States in which the player is being heard."""


ASK_AFTER_S = 0.08
"""How much longer a pause of the voice over a character's must last before it is judged. "Mm-hm" is told from noise by
the silence behind it: with the soft end's 60 ms alone none of 8 was, with 40 ms more 5, with 80 ms 7."""


class Dialogue(Protocol):
    """Where the dialogue stands (npc.Character)."""

    npc_id: str
    state: State

    @property
    def turn(self) -> Turn | None:
        """The turn that is being heard or answered."""

    def happen(self, event: Event) -> None:
        """Advance the state, and do what that asks for."""

    def has_acted(self, turn: Turn) -> bool:
        """Whether a tool call of this turn is with the game."""


class Listening:
    """One character's understanding of what it hears."""

    def __init__(
        self,
        dialogue: Dialogue,
        hearing: Hearing,
        ahead: LookAhead,
        figures: TurnFigures,
        stage: Surroundings,
        *,
        send: Callable[[m.ServerMessage], None],
        clock: Callable[[], float],
    ) -> None:
        self._dialogue = dialogue
        self._hearing = hearing
        self._ahead = ahead
        self._figures = figures
        self._stage = stage
        self._send = send
        self._clock = clock
        self._interruption: Interruption | None = None
        """What is known of the utterance over the character's voice, to its end."""
        self._asking = SideWork(f"{dialogue.npc_id} asks what was said")

    @property
    def is_hearing(self) -> bool:
        """Whether the player is being heard."""
        return self._dialogue.state in PLAYERS_OWN

    def take_floor(self) -> None:
        """The player presses the key."""
        self._believe_voice()
        self._dialogue.happen(Event.FLOOR_TAKEN)

    def hear(self, event: HeardEvent) -> None:
        """Take what the ear tells."""
        turn = self._dialogue.turn
        match event:
            case SpeechBegan():
                self._interruption = None
                self._begin()
            case SpeechWentOn() if not self.is_hearing:
                self._begin()  # a voice that seemed to be over, and was let go
            case Partial() if turn is not None and self.is_hearing:
                words = Partial(turn.with_before(event.text), turn.with_before(event.stable), event.at_s)
                npc_id = self._dialogue.npc_id
                self._send(m.ASRPartial(npc_id=npc_id, turn_id=turn.turn_id, text=words.text, stable=words.stable))
                turn.words = words.text
                self._ahead.hear(words)
            case SpeechPaused() if turn is not None and self.is_hearing:
                if self._dialogue.state is State.DUCKED:
                    self._asking.instead(self._ask)
                else:
                    self.wait_for_more(turn.with_before(event.words))
                    self._dialogue.happen(Event.SOFT_END)
            case SpeechWentOn() if self._dialogue.state is not State.DUCKED:
                self._dialogue.happen(Event.SPEECH_RESUMED)
            case UtteranceEnded() if turn is not None and self.is_hearing:
                self._end(turn, event)

    def weigh(self) -> None:
        """See whether the voice over the character's has lasted long enough, or said enough, to be meant."""
        turn = self._dialogue.turn
        if self._interruption is not None and turn is not None and self._dialogue.state is State.DUCKED:
            self._judge(self._interruption.hear(self._hearing.voiced_ms, turn.words))

    def lose(self) -> None:
        """What seemed to be speech was none, or its microphone is gone; words that were final once stay so."""
        turn = self._dialogue.turn
        if turn is not None and turn.before and self._dialogue.state in (State.LISTENING, State.PAUSING):
            turn.words = turn.before
            self._dialogue.happen(Event.SPEECH_END)
        else:
            self._dialogue.happen(Event.SPEECH_LOST)

    def wait_for_more(self, words: str) -> None:
        """Let the pause that is under way end the turn the sooner, the more finished the words look."""
        turn, looks = self._stage.settings.turn, completeness(words, beginnings=self._stage.name_beginnings)
        self._hearing.wait(looks.wait_ms(least_ms=turn.wait_ms, most_ms=turn.max_wait_ms))

    def follow(self, state: State) -> None:
        """Take note of where the dialogue has got."""
        if state is State.DUCKED and self._interruption is None:
            self._interruption = Interruption()
        elif state is State.IDLE and self._interruption is not None:
            # She has said all, and what was said over her is judged: what comes now is no part of it.
            self._hearing.wait(self._stage.settings.turn.wait_ms)

    async def close(self) -> None:
        """Ask no more."""
        await self._asking.stop()

    # --- within ------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """The open microphone hears a voice."""
        self._believe_voice()
        turn = self._dialogue.turn
        if (
            self._dialogue.state is State.THINKING
            and turn is not None
            and (turn.source == "text" or self._dialogue.has_acted(turn))
        ):
            # What was typed is no half of a sentence, and what is done is done.
            self._dialogue.happen(Event.FLOOR_TAKEN)
        else:
            self._dialogue.happen(Event.SPEECH_START)

    def _believe_voice(self) -> None:
        """A first sound may have left, and the word of it be on its way here."""
        turn = self._dialogue.turn
        if self._dialogue.state is State.THINKING and turn is not None and turn.reply is not None:
            if turn.reply.audible:
                self._dialogue.happen(Event.VOICE)

    async def _ask(self) -> None:
        """The voice over the character's has paused: what did it say?"""
        await asyncio.sleep(ASK_AFTER_S)
        if not self._hearing.pause_ms:
            return  # it was a stop within a word
        voiced_ms = self._hearing.voiced_ms  # of this pause: by the time its words are known the utterance may be over
        heard = await self._hearing.guess()
        if self._interruption is None:
            return
        if not self._hearing.pause_ms:
            # The voice went on meanwhile: nothing has ended, but a command is one. Had it paused again, this would have
            # given way to that pause's question.
            self._judge(self._interruption.hear(voiced_ms, heard.text))
            return
        if self._dialogue.state is State.DUCKED:
            self._judge(self._interruption.end(voiced_ms, heard.text, heard.confidence))
        # Who is being heard is not kept waiting. Behind a sign of listening the ear waits as long as it ever does: what
        # comes within that ("okay … stop") belongs to it, and both words are recognised together.
        if self.is_hearing and (turn := self._dialogue.turn) is not None:
            self.wait_for_more(turn.with_before(heard.text))

    def _judge(self, verdict: Verdict) -> None:
        if self._dialogue.state is not State.DUCKED or verdict is Verdict.UNDECIDED:
            return
        if verdict is Verdict.INTERRUPTION:
            self._figures.interruptions += 1
            self._dialogue.happen(Event.INTERRUPTED)
        else:
            self._figures.backchannels += 1
            self._dialogue.happen(Event.SPEECH_LOST)

    def _end(self, turn: Turn, event: UtteranceEnded) -> None:
        heard = event.recognition
        interruption, self._interruption = self._interruption, None
        if interruption is not None and self._dialogue.state is State.DUCKED:
            self._judge(interruption.end(event.voiced_ms, heard.text, heard.confidence))
            if not self.is_hearing:
                return
        if not event.voiced and not heard.text:
            self.lose()
            return
        turn.timeline = event.timeline
        if heard.text or not turn.before:
            turn.words, turn.confidence = turn.with_before(heard.text), heard.confidence
        else:  # a cough: what was said before it still wants its answer
            turn.words = turn.before
        turn.timeline.mark(Mark.ASR_FINAL, self._clock())
        self._send(
            m.ASRFinal(
                npc_id=self._dialogue.npc_id,
                turn_id=turn.turn_id,
                text=turn.words,
                lang=heard.lang,
                confidence=turn.confidence,
            )
        )
        self._dialogue.happen(Event.SPEECH_END)
