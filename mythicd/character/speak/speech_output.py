"""Speech output: one reply from written words to audio, while it is still being written.

    model text -> cleaner -> phrases -> guardrails -> speakable text -> voice -> visemes and frames -> client

Three tasks share the work and end together: one writes (the model), one speaks (phrase after phrase, no further ahead
of the listener than the queue allows), one sends (frames, at the pace of playback). What the client acknowledged as
played is the only truth about what was heard. Before the commit (commit_gate.py) about a second of voice is made and
nothing is sent; from the commit on it goes on with its first sound ready.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from mythicd.audio.pcm import samples_of
from mythicd.character.environment import CharacterContext
from mythicd.character.speak.commit_gate import CommitGate
from mythicd.character.speak.playhead import PlayheadEstimate
from mythicd.character.speak.voice_stream import VoiceStream
from mythicd.dialogue.cleaning.cleaner import ReplyCleaner
from mythicd.dialogue.cleaning.state import CleanPart
from mythicd.dialogue.guardrails import Guardrails
from mythicd.dialogue.truecasing import Truecaser
from mythicd.engines.tts import VoiceChunk
from mythicd.errors import ModelError
from mythicd.telemetry.timeline import Mark, Timeline
from mythicd.text.scripts import BLANKLESS_LETTER, script_of
from mythicd.tts.phrase_buffer import Phrase, PhraseBuffer
from mythicd.tts.speakable_text import spoken, unspeakable
from mythicd.tts.speech_queue import SpeechQueue
from mythicd.wire import codec
from mythicd.wire import messages as m

MAX_PIECES = 8
"""Most pieces of text between the model and the voice: about what a short phrase has. What a faster model has written
beyond them stays with the model, which counts it as ahead of its voice and lets others go first
(`scheduler.burst_tokens`); if it lay here, a reply would seem to be heard as fast as it is written."""
UNSEEN_S = 5.0
"""How much longer the voice of a character that is out of view can wait for its next piece."""
SEND_TICK_S = 0.02
"""How often a sender that is far enough ahead looks again."""
SILENCE_GRACE_S = 2.0
"""How long after its audio must have ended a client may take to say so."""
PREPARED_MS = 1000
"""How much voice is made before the reply counts: a first phrase, and what is said while the next one is made."""
DUCKED_DB = -12.0
"""How much softer a voice goes on while somebody talks over it, and it is not known yet whether they mean it."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """A tool call that waits for the words before it to be heard."""

    call_id: str
    offset: int
    """Characters of the reply before it."""


@dataclass(frozen=True, slots=True)
class _CallPlace:
    """A call's place among the pieces of text."""

    call_id: str


class OutputListener(Protocol):
    """Whose reply it is (character.turn.Response)."""

    turn_id: str
    gate: CommitGate
    timeline: Timeline

    def voice_started(self) -> None:
        """The first frame has left."""

    def gestured(self, direction: str) -> str | None:
        """The reply holds a stage direction: return the id of the tool call that plays it, if there is one."""

    def progressed(self) -> None:
        """A tool call has got its place in the audio, or more was heard than was acknowledged: one may be due."""


class SpeechOutput:
    """One reply: its words, its voice stream, and how much of it was heard."""

    def __init__(
        self, context: CharacterContext, listener: OutputListener, guard: Guardrails, cleaner: ReplyCleaner
    ) -> None:
        """`cleaner` finds the words in what the model writes, and `guard` approves the phrases."""
        rate = context.engines.tts.sample_rate
        self.stream = context.routes.open_stream(context.npc_id)
        self.text = ""
        """The words approved for speech, so far."""
        self._npc_id = context.npc_id
        self._turn_id = listener.turn_id
        self._tts = context.engines.tts
        self._voice = context.voice
        self._outlet = context.outlet
        self._clock = context.clock
        self._is_in_view = functools.partial(context.environment.in_view, context.npc_id)
        self._listener = listener
        self._gate = listener.gate
        self._timeline = listener.timeline
        self._guard = guard
        self._cleaner = cleaner
        self._truecaser = Truecaser(context.world.names)
        visemes = context.environment.visemes
        self._queue = SpeechQueue(rate, visemes=visemes)
        self._pieces: asyncio.Queue[str | _CallPlace | None] = asyncio.Queue(MAX_PIECES)
        self._captions: list[m.LLMStreamDelta] = []
        self._anchors: list[Anchor] = []
        self._acted = False
        self._spoken = False
        self._told_unspeakable = False
        self._changed = asyncio.Event()
        self._silent = asyncio.Event()
        self._out = VoiceStream(
            context.outlet,
            self.stream,
            npc_id=self._npc_id,
            turn_id=self._turn_id,
            sample_rate=rate,
            visemes=visemes,
        )
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._is_cut = False
        self._playhead = PlayheadEstimate(rate)
        self.moved_s = self._clock()
        """When it last made progress, on the monotonic clock."""

    # --- what the generator and the character put in -----------------------------------------------------------------

    @property
    def audible(self) -> bool:
        """Whether any of it has left."""
        return self._out.sent > 0

    @property
    def has_sound(self) -> bool:
        """Whether something of its own can sound at once."""
        return self._queue.first_audible is not None

    async def write(self, text: str) -> None:
        """Add words, as the model writes them. Waits while the voice lags far."""
        self._move()
        await self._pieces.put(text)

    async def place_call(self, call_id: str) -> None:
        """Put a tool call after the words written so far."""
        self._acted = True
        self._move()
        await self._pieces.put(_CallPlace(call_id))

    def allow(self, seconds: float) -> None:
        """Expect no progress for this long: the game is being asked for a tool's result."""
        self.moved_s = max(self.moved_s, self._clock() + seconds)

    async def run(self, write: Callable[[], Awaitable[None]]) -> None:
        """Make the whole reply, and return when the client is silent again."""
        async with asyncio.TaskGroup() as tasks:
            writing = tasks.create_task(self._write(write), name=f"{self._turn_id} writes")
            speaking = tasks.create_task(self._speak(writing), name=f"{self._turn_id} speaks")
            sending = tasks.create_task(self._send(), name=f"{self._turn_id} sends")
            self._tasks = (writing, speaking, sending)
        while self._out.sent and not self._silent.is_set():
            # A client that says when it is silent is worth waiting for; one that does not must not hold the character.
            wait_s = self._ends_s() + SILENCE_GRACE_S - self._clock()
            if wait_s <= 0:
                self._assume_heard()
                break
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._silent.wait()

    def cut(self, reason: Literal["barge_in", "cancelled", "error"]) -> None:
        """Cut it off: nothing more of it is sent from now on."""
        for task in self._tasks:
            task.cancel()
        if self.audible and not self._is_cut:
            self._is_cut = True
            self._outlet.drop_media(self.stream)
            self._outlet.send(m.Cutoff(stream=self.stream, reason=reason))

    def hesitate(self, said: str, sound: Sequence[VoiceChunk]) -> bool:
        """Play this filler while the first words are still being made; return whether there was a place for it.

        It is not part of the reply, and counts as neither said nor heard.
        """
        if self.text or self._queue.first_murmur is not None or self._spoken or self._is_cut:
            return False
        self._queue.begin(Phrase("", 0), spoken(said, (self._tts.language(self._voice),)))
        for chunk in sound:
            self._queue.add(replace(chunk, words=()))
        self._queue.end()
        self._changed.set()
        return True

    def duck(self, gain_db: float) -> None:
        """Have it played softer, or as before (0)."""
        if self.audible and not self._is_cut and not self._silent.is_set():
            self._outlet.send(m.Duck(stream=self.stream, gain_db=gain_db))

    # --- what the client says ----------------------------------------------------------------------------------------

    def started(self, now_s: float) -> None:
        """The client plays the first sample."""
        self._timeline.mark(Mark.PLAYBACK_STARTED, now_s)
        murmur, audible, rate = self._queue.first_murmur, self._queue.first_audible, self._tts.sample_rate
        if murmur is not None:
            self._timeline.mark(Mark.FIRST_MURMUR, now_s + murmur / rate)
        elif audible is not None:
            self._timeline.mark(Mark.FIRST_AUDIBLE, now_s + audible / rate)
        self.played(0, now_s)

    def played(self, samples: int, now_s: float) -> None:
        """The client has played this much."""
        self._playhead.acknowledge(samples, self._out.sent, now_s)
        audible = self._queue.first_audible
        if audible is not None and samples > audible:  # after a hesitation, when the sound got there
            self._timeline.mark(Mark.FIRST_AUDIBLE, now_s - (samples - audible) / self._tts.sample_rate)
        self._move()
        self._changed.set()

    def stopped(self, samples: int, now_s: float) -> None:
        """The client is silent, and will play no more of it."""
        self.played(samples, now_s)
        self._timeline.mark(Mark.PLAYBACK_STOPPED, now_s)
        self._silent.set()
        if any(not task.done() for task in self._tasks):
            self.cut("cancelled")

    def due(self) -> list[str]:
        """Return the ids of calls whose words have been heard by now, each once; none before the reply counts."""
        if not self._gate.is_committed:
            return []
        ready = [anchor for anchor in self._anchors if self._is_heard(anchor.offset)]
        self._anchors = [anchor for anchor in self._anchors if anchor not in ready]
        return [anchor.call_id for anchor in ready]

    @property
    def heard(self) -> str:
        """What was heard of the reply: all of it, or its front with a dash at the last word."""
        characters = len(self.text) if self._is_whole() else self._queue.heard(self._playhead.acknowledged)
        front = self.text[:characters].rstrip()
        if not front or front == self.text.rstrip():
            return front
        return front.rstrip(",;:.—– ") + "—"

    # --- the three tasks ---------------------------------------------------------------------------------------------

    async def _write(self, write: Callable[[], Awaitable[None]]) -> None:
        await write()
        self._timeline.mark(Mark.LLM_DONE, self._clock())
        await self._pieces.put(None)

    async def _speak(self, writing: asyncio.Task[None]) -> None:
        buffer = PhraseBuffer()
        async for piece in self._arriving(buffer):
            now = self._clock()
            if isinstance(piece, str):
                phrases = self._phrases(self._cleaner.add(piece), buffer)
            elif isinstance(piece, _CallPlace):
                phrases = self._phrases(self._cleaner.settle(), buffer)
                phrases += [*buffer.add(self._truecaser.finish(), now), *buffer.finish()]
            else:
                phrases = buffer.flush_due(now)
            for phrase in phrases:
                await self._say_approved(phrase.text)
            if self._cleaner.closed:  # what follows is another speaker's
                writing.cancel()
                break
            if self._guard.closed:
                # Nothing more of it is spoken, and nothing done either: that would go on with what was not said.
                self._timeline.mark(Mark.LLM_DONE, self._clock())
                writing.cancel()
                break
            if isinstance(piece, _CallPlace):
                self._anchors.append(Anchor(piece.call_id, len(self.text)))
                self._listener.progressed()
        rest = self._phrases(self._cleaner.finish(), buffer)
        for phrase in [*rest, *buffer.add(self._truecaser.finish(), self._clock()), *buffer.finish()]:
            await self._say_approved(phrase.text)
        for line in self._guard.finish(acted=self._acted, gestured=self._cleaner.gestured):
            await self._say(line.text)
        self._timeline.mark(Mark.TTS_DONE, self._clock())
        self._spoken = True
        self._changed.set()

    def _phrases(self, parts: list[CleanPart], buffer: PhraseBuffer) -> list[Phrase]:
        """Return the phrases that cleaned text completes; play its stage directions where the world has emotes."""
        phrases: list[Phrase] = []
        for part in parts:
            if isinstance(part, str):
                phrases += buffer.add(self._truecaser.add(part), self._clock())
            elif (call_id := self._listener.gestured(part.text)) is not None:
                self._acted = True
                self._anchors.append(Anchor(call_id, len(self.text)))
                self._listener.progressed()
        return phrases

    async def _arriving(self, buffer: PhraseBuffer) -> AsyncIterator[str | _CallPlace | None]:
        """Yield pieces as they come, and None when a phrase has waited long enough; end with the reply."""
        while True:
            due = buffer.deadline
            timeout = None if due is None else max(0.0, due - self._clock())
            try:
                async with asyncio.timeout(timeout):
                    piece = await self._pieces.get()
            except TimeoutError:
                yield None
                continue
            if piece is None:
                return
            yield piece

    async def _say_approved(self, phrase: str) -> None:
        for line in self._guard.add(phrase):
            await self._say(line.text)

    async def _say(self, text: str) -> None:
        """Give one approved phrase its voice."""
        self._timeline.mark(Mark.FIRST_PHRASE, self._clock())
        is_joined = not self.text or (not self.text[-1].isascii() and BLANKLESS_LETTER.match(text))
        phrase = Phrase(text if is_joined else f" {text}", len(self.text))
        self.text += phrase.text
        self._captions.append(m.LLMStreamDelta(npc_id=self._npc_id, turn_id=self._turn_id, delta=phrase.text))
        if self._out.sent:
            self._send_captions()
        if self._queue.left(0) >= samples_of(PREPARED_MS, self._tts.sample_rate):
            await self._gate.until_committed()
        while not self._queue.hungry(self._played_by_now()):
            await self._change(SEND_TICK_S)
        said = spoken(phrase.text, (self._tts.language(self._voice),))
        self._report_unspeakable(phrase.text)
        self._queue.begin(phrase, said, self._played_by_now())
        if said.text:
            async with contextlib.aclosing(self._tts.speak(said.text, self._voice, self._lead_s)) as chunks:
                async for chunk in chunks:
                    self._timeline.mark(Mark.TTS_FIRST_CHUNK, self._clock())
                    self._queue.add(chunk)
                    self._move()
                    self._changed.set()
        self._queue.end()
        self._changed.set()

    def _report_unspeakable(self, text: str) -> None:
        """Tell the client, once a reply, that the voice cannot read a script: its words are only shown."""
        left_out = unspeakable(text, (self._tts.language(self._voice),))
        if not left_out or self._told_unspeakable:
            return
        self._told_unspeakable = True
        script = script_of(next(letter for letter in left_out[0] if letter.isalpha()))
        error = ModelError(
            f"The voice {self._voice.voice_id!r} cannot read {script} script: those words are shown, and not spoken.",
            remedy=f"Give {self._npc_id} a voice of that language, or tell it in its rules which language to speak.",
        )
        self._gate.send(codec.describe(error, npc_id=self._npc_id, turn_id=self._turn_id))

    async def _send(self) -> None:
        await self._gate.until_committed()
        self._move()
        while True:
            for frame in self._queue.take(self._played_by_now()):
                is_first = not self.audible
                self._out.send(frame)
                self._move()
                if self._queue.first_audible is not None:
                    self._timeline.mark(Mark.FIRST_AUDIO_SENT, self._clock())
                if is_first:
                    self._send_captions()
                    self._listener.voice_started()
            if self._spoken and self._queue.drained:
                break
            if self._anchors and self._ends_s() + SILENCE_GRACE_S <= self._clock():
                self._assume_heard()
            await self._change(None if self._queue.drained and not self._anchors else SEND_TICK_S)
        self._out.end()

    # --- within ------------------------------------------------------------------------------------------------------

    def _send_captions(self) -> None:
        """Show what has been approved. Never before there is sound: until then all of it may still be taken back."""
        captions, self._captions = self._captions, []
        for caption in captions:
            self._outlet.send(caption)

    async def _change(self, timeout_s: float | None) -> None:
        """Wait until something happened that may let a task go on."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            pass
        self._changed.clear()

    def _move(self) -> None:
        self.moved_s = max(self.moved_s, self._clock())

    def _played_by_now(self) -> int:
        """Return how far playback has probably got; for pacing only."""
        return self._playhead.position(self._out.sent, self._clock())

    def _lead_s(self) -> float:
        """Return how long the voice can wait, for the engine that serves several characters: the seconds of sound that
        the listener still has, more for a character that the player does not see."""
        unseen = 0.0 if self._is_in_view() else UNSEEN_S
        return self._queue.left(self._played_by_now()) / self._tts.sample_rate + unseen

    def _ends_s(self) -> float:
        """Return when all that was sent has probably been played, on the monotonic clock."""
        return self._playhead.ends_s(self._out.sent, self._clock())

    def _assume_heard(self) -> None:
        """Take what was sent as heard, from a client that never reports playback."""
        if self._playhead.assume_all(self._out.sent):
            self._listener.progressed()

    def _is_heard(self, offset: int) -> bool:
        at = self._queue.sample_of(offset)
        if at is None:
            return False
        return at <= self._playhead.acknowledged or (self._is_whole() and offset >= len(self.text))

    def _is_whole(self) -> bool:
        """Whether the reply is finished and every sample of it was played."""
        return self._spoken and self._queue.drained and self._playhead.acknowledged >= self._out.sent
