"""One reply on its way from written words to sound, while it is still being written.

    words -> phrases -> guardrails -> what is spoken of them -> voice -> visemes and frames -> client

Three tasks share the work and end together: one writes (the model; the character brings it), one speaks (phrase after
phrase, no further ahead of the listener than the queue allows), one sends (frames, at the pace of the playback). What
the client acknowledged as played is the only truth about what was heard; how far it has probably got since then is
used for pacing and for nothing else.

A reply may be begun before it counts (commit_gate.py). Until then it makes about a second of its voice and lets nothing
out; from the commit on it goes on as if it had begun that moment, with its first sound ready.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from mythicd.audio.pcm import samples_of
from mythicd.character.speak.commit_gate import Commitment
from mythicd.character.speak.voice_stream import Outlet, VoiceStream
from mythicd.dialogue.guardrails import Guardrails
from mythicd.dialogue.truecasing import Names, Recaser
from mythicd.engines.tts import Tts, VoiceChunk, VoiceSpec
from mythicd.telemetry.timeline import Mark, Timeline
from mythicd.tts.phrase_buffer import Phrase, PhraseBuffer
from mythicd.tts.speakable_text import spoken
from mythicd.tts.speech_queue import SpeechQueue
from mythicd.wire import messages as m

MAX_PIECES = 8
"""Most pieces of text between the model and the voice: about what a short phrase has. What a faster model has written
beyond them stays with the model, which counts it as ahead of its voice and lets others go first
(`scheduler.burst_tokens`); if it lay here, a reply would seem to be heard as fast as it is written."""
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
class _Act:
    """A call's place among the pieces of text."""

    call_id: str


class Reply:
    """One reply: its words, its voice stream, and how much of it was heard."""

    def __init__(
        self,
        npc_id: str,
        turn_id: str,
        stream: int,
        *,
        tts: Tts,
        voice: VoiceSpec,
        outlet: Outlet,
        commitment: Commitment,
        guard: Guardrails,
        names: Names,
        timeline: Timeline,
        clock: Callable[[], float],
        on_voice: Callable[[], None],
        on_anchor: Callable[[], None],
    ) -> None:
        """`on_voice` is called when the first frame leaves, `on_anchor` when a call has got its place in the audio."""
        self.stream = stream
        self.text = ""
        """The words approved for speech, so far."""
        self._npc_id = npc_id
        self._turn_id = turn_id
        self._tts = tts
        self._voice = voice
        self._outlet = outlet
        self._commitment = commitment
        self._guard = guard
        self._recaser = Recaser(names)
        self._timeline = timeline
        self._clock = clock
        self._on_voice = on_voice
        self._on_anchor = on_anchor
        self._queue = SpeechQueue(tts.sample_rate)
        self._pieces: asyncio.Queue[str | _Act | None] = asyncio.Queue(MAX_PIECES)
        self._captions: list[m.LLMStreamDelta] = []
        self._anchors: list[Anchor] = []
        self._acted = False
        self._spoken = False
        self._changed = asyncio.Event()
        self._silent = asyncio.Event()
        self._out = VoiceStream(outlet, stream, npc_id=npc_id, turn_id=turn_id, sample_rate=tts.sample_rate)
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._is_cut = False
        self._acknowledged = 0
        self._is_acknowledged = False
        # Where the playback probably is, for pacing: it runs on from the last acknowledgement, and stands when dry.
        self._position = 0.0
        self._position_s = 0.0
        self._dry_s = 0.0
        self.moved_s = clock()
        """When it last got any further, on the monotonic clock."""

    # --- what the character puts in ----------------------------------------------------------------------------------

    @property
    def audible(self) -> bool:
        """Whether any of it has left."""
        return self._out.sent > 0

    @property
    def has_sound(self) -> bool:
        """Whether something of its own can sound at once."""
        return self._queue.first_audible is not None

    async def write(self, text: str) -> None:
        """Add words, as the model writes them. Waits while the voice is far behind."""
        self._move()
        await self._pieces.put(text)

    async def act(self, call_id: str) -> None:
        """Put a tool call behind the words written so far."""
        self._acted = True
        self._move()
        await self._pieces.put(_Act(call_id))

    def allow(self, seconds: float) -> None:
        """Nothing is amiss when nothing moves for this long: the game is being asked."""
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
            wait_s = self._over_s() + SILENCE_GRACE_S - self._clock()
            if wait_s <= 0:
                self._believe()
                break
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._silent.wait()

    def cut(self, reason: Literal["barge_in", "cancelled", "error"]) -> None:
        """Cut it off: from this moment nothing more of it leaves, whatever its tasks were about to do."""
        for task in self._tasks:
            task.cancel()
        if self.audible and not self._is_cut:
            self._is_cut = True
            self._outlet.drop_media(self.stream)
            self._outlet.send(m.Cutoff(stream=self.stream, reason=reason))

    def hesitate(self, said: str, sound: Sequence[VoiceChunk]) -> bool:
        """Sound this while the first words are still on their way; tell whether there was a place for it.

        It is no part of the reply: nobody is told that it was said.
        """
        if self.text or self._queue.first_murmur is not None or self._spoken or self._is_cut:
            return False
        self._queue.begin(Phrase("", 0), spoken(said))
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
        """The client has played this much. It can neither un-play anything nor play what was never sent."""
        self._acknowledged = max(self._acknowledged, min(samples, self._out.sent))
        self._is_acknowledged = True
        audible = self._queue.first_audible
        if audible is not None and samples > audible:  # behind a hesitation, when the sound got there
            self._timeline.mark(Mark.FIRST_AUDIBLE, now_s - (samples - audible) / self._tts.sample_rate)
        if self._acknowledged < self._out.sent or self._position < self._out.sent:
            self._dry_s = now_s
        self._position, self._position_s = float(self._acknowledged), now_s
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
        if not self._commitment.is_committed:
            return []
        ready = [anchor for anchor in self._anchors if self._is_heard(anchor.offset)]
        self._anchors = [anchor for anchor in self._anchors if anchor not in ready]
        return [anchor.call_id for anchor in ready]

    @property
    def heard(self) -> str:
        """What was heard of the reply: all of it, or its front with a dash at the last word."""
        characters = len(self.text) if self._is_whole() else self._queue.heard(self._acknowledged)
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
                phrases = buffer.add(self._recaser.add(piece), now)
            elif isinstance(piece, _Act):
                phrases = [*buffer.add(self._recaser.finish(), now), *buffer.finish()]
            else:
                phrases = buffer.flush_due(now)
            for phrase in phrases:
                await self._say_approved(phrase.text)
            if self._guard.closed:
                # Nothing more of it is spoken, and nothing done either: that would go on with what was not said.
                self._timeline.mark(Mark.LLM_DONE, self._clock())
                writing.cancel()
                break
            if isinstance(piece, _Act):
                self._anchors.append(Anchor(piece.call_id, len(self.text)))
                self._on_anchor()
        for phrase in [*buffer.add(self._recaser.finish(), self._clock()), *buffer.finish()]:
            await self._say_approved(phrase.text)
        for line in self._guard.finish(acted=self._acted):
            await self._say(line.text)
        self._timeline.mark(Mark.TTS_DONE, self._clock())
        self._spoken = True
        self._changed.set()

    async def _arriving(self, buffer: PhraseBuffer) -> AsyncIterator[str | _Act | None]:
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
        phrase = Phrase(f" {text}" if self.text else text, len(self.text))
        self.text += phrase.text
        self._captions.append(m.LLMStreamDelta(npc_id=self._npc_id, turn_id=self._turn_id, delta=phrase.text))
        if self._out.sent:
            self._send_captions()
        if self._queue.left(0) >= samples_of(PREPARED_MS, self._tts.sample_rate):
            await self._commitment.until_committed()
        while not self._queue.hungry(self._played_by_now()):
            await self._change(SEND_TICK_S)
        said = spoken(phrase.text)
        self._queue.begin(phrase, said, self._played_by_now())
        if said.text:
            async with contextlib.aclosing(self._tts.speak(said.text, self._voice)) as chunks:
                async for chunk in chunks:
                    self._timeline.mark(Mark.TTS_FIRST_CHUNK, self._clock())
                    self._queue.add(chunk)
                    self._move()
                    self._changed.set()
        self._queue.end()
        self._changed.set()

    async def _send(self) -> None:
        await self._commitment.until_committed()
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
                    self._on_voice()
            if self._spoken and self._queue.drained:
                break
            if self._anchors and self._over_s() + SILENCE_GRACE_S <= self._clock():
                self._believe()
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
        """Return how far the playback has probably got; for pacing only."""
        now, rate = self._clock(), self._tts.sample_rate
        if self._position < self._out.sent:
            self._dry_s = self._position_s + (self._out.sent - self._position) / rate
            self._position = min(float(self._out.sent), self._position + (now - self._position_s) * rate)
        self._position_s = now
        return int(self._position)

    def _over_s(self) -> float:
        """Return when all that was sent has probably been played, on the monotonic clock."""
        self._played_by_now()
        return self._dry_s

    def _believe(self) -> None:
        """Take what was sent as heard, where the client never says anything of its playback."""
        if not self._is_acknowledged and self._acknowledged < self._out.sent:
            self._acknowledged = self._out.sent
            self._on_anchor()

    def _is_heard(self, offset: int) -> bool:
        at = self._queue.sample_of(offset)
        if at is None:
            return False
        return at <= self._acknowledged or (self._is_whole() and offset >= len(self.text))

    def _is_whole(self) -> bool:
        """Whether the reply is finished and every sample of it was played."""
        return self._spoken and self._queue.drained and self._acknowledged >= self._out.sent
