"""The utterance under way, as turn-taking and the responder ask about it.

The microphone that it comes from is opened and closed in microphone.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from mythicd.character.environment import CharacterContext
from mythicd.character.hear.speech_input import SpeechInput
from mythicd.dialogue.end_of_turn import Completeness, completeness
from mythicd.engines.asr import Recognition
from mythicd.errors import EngineError
from mythicd.text.spoken_words import spoken_words

ASR_PATIENCE_S = 20.0
"""How long a recogniser may take for one step."""


class CurrentSpeech:
    """What is being said to one character; silent while no microphone is open."""

    def __init__(self, context: CharacterContext) -> None:
        self._context = context
        self.input: SpeechInput | None = None
        """The open microphone's; None while there is none."""

    @property
    def voiced_ms(self) -> float:
        """Length of the utterance under way, from its first voiced sample to its last."""
        return 0.0 if self.input is None else self.input.voiced_ms

    @property
    def pause_ms(self) -> float:
        """Length of the pause under way; 0 while there is none."""
        return 0.0 if self.input is None else self.input.pause_ms

    async def guess(self) -> Recognition:
        """Return what was said, should it end here. Raises what the recogniser raises, and EngineError when it takes
        longer than ASR_PATIENCE_S."""
        if self.input is None:
            return Recognition("", 0.0)
        try:
            async with asyncio.timeout(ASR_PATIENCE_S):
                return await self.input.guess()
        except TimeoutError:
            raise asr_timeout() from None

    def end_after(self, ms: float) -> None:
        """Let the pause under way end the utterance when it has lasted so long."""
        if self.input is not None:
            self.input.end_after(ms)

    def end_after_words(self, words: str) -> None:
        """Let the pause under way end the utterance the sooner, the more complete these words look."""
        turn = self._context.settings.turn
        looks = spoken_completeness(words, self._context.world.name_beginnings)
        self.end_after(looks.wait_ms(least_ms=turn.wait_ms, most_ms=turn.max_wait_ms))


def spoken_completeness(words: str, beginnings: Collection[str]) -> Completeness:
    """Return how complete recognised words look. A recogniser's punctuation is left out: it ends whatever it hears."""
    return completeness(" ".join(spoken_words(words)), beginnings=beginnings)


def asr_timeout() -> EngineError:
    """Return the error of a recogniser that takes too long."""
    return EngineError(f"The recogniser did not answer within {ASR_PATIENCE_S:.0f} s.", remedy="Try again.")
