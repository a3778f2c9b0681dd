"""The voices of a world: each is tried before it is needed, and one that cannot speak is replaced, with a notice."""

from __future__ import annotations

from pathlib import Path

from mythicd.config.world_files import PersonaCard, World
from mythicd.engines.tts import Tts, VoiceSpec
from mythicd.errors import ModelError

DEFAULT_VOICE = VoiceSpec("default", "en-us")
"""The voice of characters whose card names none."""


class WorldVoices:
    """The voices that characters have."""

    def __init__(self, tts: Tts) -> None:
        self._tts = tts
        self._faults: dict[VoiceSpec, str] = {}
        """What is wrong with each voice that was tried; empty if nothing is."""
        self._instead = DEFAULT_VOICE
        self.notices: tuple[str, ...] = ()
        """What is wrong with the voices that the world's characters should have."""

    async def prepare(self, world: World) -> None:
        """Have every voice of a world's characters say a syllable, so that the first turn is as fast as others.

        Raises ModelError if no voice can speak.
        """
        wanted = dict.fromkeys(_named(world, card) for card in world.characters.values())
        failure: ModelError | None = None
        for voice in wanted:
            failure = await self._try(voice) or failure
        usable = [voice for voice in wanted if not self._faults[voice]]
        if len(usable) < len(wanted):
            failure = await self._try(DEFAULT_VOICE) or failure
            self._instead = usable[0] if self._faults[DEFAULT_VOICE] and usable else DEFAULT_VOICE
            if failure is not None and self._faults[self._instead]:
                raise failure
        file = world.path / "voices.yaml"
        self.notices = tuple(_told(file, voice, self._faults[voice]) for voice in wanted if self._faults[voice])

    def voice(self, world: World, card: PersonaCard) -> VoiceSpec:
        """Return the voice of a character, or the one that replaces it."""
        voice = _named(world, card)
        return self._instead if self._faults.get(voice) else voice

    async def _try(self, voice: VoiceSpec) -> ModelError | None:
        """Try a voice that was not tried yet; return what is wrong with it."""
        if voice in self._faults:
            return None
        try:
            await self._tts.prepare(voice)
        except ModelError as error:
            self._faults[voice] = str(error)
            return error
        self._faults[voice] = ""
        return None


def _named(world: World, card: PersonaCard) -> VoiceSpec:
    return world.voices.get(card.voice_id, DEFAULT_VOICE)


def _told(file: Path, voice: VoiceSpec, fault: str) -> str:
    where = f"{file}: {voice.voice_id}" if voice != DEFAULT_VOICE else "The default voice"
    return f"{where}: {fault} Until then another voice is used."
