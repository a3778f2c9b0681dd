"""A `Tts` of two: the profile's voice engine, and espeak-ng for voices whose language that engine does not have."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from mythicd.engines.tts import Tts, VoiceChunk, VoiceSpec, language_code
from mythicd.errors import ModelError


class LanguageFallback:
    """The engine that has a voice's language. Implements `Tts`."""

    def __init__(self, first: Tts, other: Tts) -> None:
        """`other` speaks what `first` cannot; both have the same sample rate."""
        self._first = first
        self._other = other
        self._told: dict[VoiceSpec, str] = {}

    @property
    def sample_rate(self) -> int:
        """Hertz, of all audio."""
        return self._first.sample_rate

    @property
    def notices(self) -> tuple[str, ...]:
        """What `first` has to say, and which voices `other` speaks."""
        return (*getattr(self._first, "notices", ()), *self._told.values())

    async def start(self) -> None:
        """Load both engines. Raises EngineUnavailable or ModelError."""
        await self._first.start()
        try:
            await self._other.start()
        except BaseException:
            await self._first.stop()
            raise

    def language(self, voice: VoiceSpec) -> str:
        """Return the code of the language that this voice reads."""
        return self._engine(voice).language(voice)

    async def prepare(self, voice: VoiceSpec) -> None:
        """Warm up this voice. Raises ModelError when neither engine has it."""
        self._told.pop(voice, None)
        try:
            await self._first.prepare(voice)
        except ModelError as error:
            wanted = language_code(voice.espeak)
            if voice.piper is not None or wanted == self._first.language(voice):
                raise
            await self._other.prepare(voice)
            self._told[voice] = f"Voice {voice.voice_id!r} is spoken by espeak-ng: {error}"

    async def speak(
        self, text: str, voice: VoiceSpec, lead_s: Callable[[], float] | None = None
    ) -> AsyncGenerator[VoiceChunk, None]:
        """Speak one phrase, chunk by chunk. Closing the generator stops the voice."""
        async with aclosing(self._engine(voice).speak(text, voice, lead_s)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def stop(self) -> None:
        """Free both engines."""
        await self._other.stop()
        await self._first.stop()

    def _engine(self, voice: VoiceSpec) -> Tts:
        return self._other if voice in self._told else self._first
