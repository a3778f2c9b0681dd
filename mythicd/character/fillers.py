"""Fillers: backchannels ("Mm-hm.") while the player speaks, and hesitations ("Hmm.") before a late reply.

A backchannel is sent on a stream of its own; a hesitation is sent before the reply, on its stream, and is not part of
it. dialogue/filler_policy.py decides when. They are synthesised between turns: one that is not ready is not played.
"""

from __future__ import annotations

import contextlib

from mythicd.character.environment import CharacterContext
from mythicd.character.speak.voice_stream import VoiceStream
from mythicd.character.turn import Turn
from mythicd.dialogue import canned_lines
from mythicd.dialogue.filler_policy import FillerKind, FillerPolicy, FillerSettings
from mythicd.engines.tts import VoiceChunk, VoiceSpec
from mythicd.telemetry.timeline import Mark
from mythicd.tts.phrase_buffer import Phrase
from mythicd.tts.speakable_text import spoken
from mythicd.tts.speech_queue import SpeechQueue

REHEARSED = 6
"""Of each kind, so many of the card's lines in turn are rendered; most cards have fewer."""
_LEAD_S = 60.0
"""Sound left, as given to the voice, in seconds: no listener waits, so every character that speaks comes first."""
_LEARNING = 0.3
"""Share of the last answer in what is expected of the next."""


class Fillers:
    """One character's fillers."""

    def __init__(self, context: CharacterContext) -> None:
        self._context = context
        self._counters = context.engines.counters
        self._tts = context.engines.tts
        self._settings = FillerSettings()
        self._policy = FillerPolicy(self._settings)
        self._sounds: dict[tuple[VoiceSpec, str], tuple[VoiceChunk, ...]] = {}
        self._wait_s: float | None = None
        """How long responses have taken from the commit to their first sound."""

    # --- when nothing else is to be done -----------------------------------------------------------------------------

    async def render(self) -> None:
        """Synthesise what may be needed. Raises what the voice raises."""
        if not self._context.settings.turn.murmurs:
            return
        voice = self._context.voice
        needed = [(voice, self._line(kind, number)) for kind in _KINDS for number in range(REHEARSED)]
        self._sounds = {key: sound for key, sound in self._sounds.items() if key in needed}
        for key in needed:
            if key not in self._sounds:
                async with contextlib.aclosing(self._tts.speak(key[1], voice, lambda: _LEAD_S)) as chunks:
                    self._sounds[key] = tuple([chunk async for chunk in chunks])

    # --- in a turn ---------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """The player begins a turn."""
        self._policy.begin()

    def rolled_back(self) -> None:
        """A response was rolled back: the player went on."""
        self._policy.rolled_back()

    def consider_backchannel(self, turn: Turn, spoken_ms: float, pause_ms: float) -> None:
        """Play a backchannel if the player, who is speaking, pauses and it is time for one."""
        if pause_ms and self._can("backchannel", self._policy.backchannels):
            if self._policy.partial(self._context.clock(), spoken_ms, pause_ms, turn.words) is not None:
                self._sound("backchannel", self._policy.backchannels - 1, turn)

    def late_s(self, turn: Turn) -> float | None:
        """Return when a reply that is not audible yet is late, on the monotonic clock; None where that is no matter."""
        end_s = turn.timeline.marks.get(Mark.SPEECH_END)
        waits = turn.source == "speech" and turn.reply_is_awaited and not turn.was_late
        return end_s + self._settings.late_ms / 1000 if waits and end_s is not None else None

    def consider_hesitation(self, turn: Turn) -> None:
        """Play a hesitation if the silence before the reply is long, or is expected to be."""
        late_s, output, now = self.late_s(turn), turn.output, self._context.clock()
        if late_s is None:
            return
        turn.was_late = now >= late_s
        if output is None or not self._can("hesitation", self._policy.hesitations):
            return
        counted = turn.response.committed_s if turn.response is not None else now
        expected_s = None if self._wait_s is None else counted + self._wait_s
        end_s = turn.timeline.marks[Mark.SPEECH_END]
        if self._policy.late(now, end_s, expected_s, ready=output.has_sound) is not None:
            number = self._policy.hesitations - 1
            key = (self._context.voice, self._line("hesitation", number))
            turn.was_late = True
            self._counters.murmurs += output.hesitate(key[1], self._sounds[key])

    def observe(self, turn: Turn) -> None:
        """The turn is over: take note of how long its response took."""
        sent_s = turn.timeline.marks.get(Mark.FIRST_AUDIO_SENT)
        if sent_s is not None and turn.response is not None:
            took = max(0.0, sent_s - turn.response.committed_s)
            self._wait_s = took if self._wait_s is None else self._wait_s + _LEARNING * (took - self._wait_s)

    # --- within ------------------------------------------------------------------------------------------------------

    def _line(self, kind: FillerKind, number: int) -> str:
        return canned_lines.line(self._context.card, kind, number % REHEARSED)

    def _can(self, kind: FillerKind, number: int) -> bool:
        """Whether the next sound of this kind is ready."""
        key = (self._context.voice, self._line(kind, number))
        return self._context.settings.turn.murmurs and bool(self._sounds.get(key))

    def _sound(self, kind: FillerKind, number: int, turn: Turn) -> None:
        said = self._line(kind, number)
        visemes = self._context.environment.visemes
        queue = SpeechQueue(self._tts.sample_rate, visemes=visemes)
        queue.begin(Phrase("", 0), spoken(said, (self._tts.language(self._context.voice),)))
        for chunk in self._sounds[self._context.voice, said]:
            queue.add(chunk)
        queue.end()
        stream = VoiceStream(
            self._context.outlet,
            self._context.routes.open_stream(self._context.npc_id),
            npc_id=self._context.npc_id,
            turn_id=turn.turn_id,
            sample_rate=self._tts.sample_rate,
            kind="backchannel",
            visemes=visemes,
        )
        for frame in queue.take(0):
            stream.send(frame)
        stream.end()
        self._counters.murmurs += 1


_KINDS: tuple[FillerKind, ...] = ("backchannel", "hesitation")
