"""Requests to a speech server: which of its voices speaks, and the JSON body of a phrase."""

from __future__ import annotations

import unicodedata
import zlib
from dataclasses import dataclass
from typing import Any, Final

from mythicd.engines.tts import VoiceSpec, language_code
from mythicd.errors import ModelError
from mythicd.tts.speech_server.options import SpeechServerOptions

_NORMAL_RATE: Final = 165
"""Words per minute at which a voice of the pool speaks at its normal speed."""

_POOL_SPEEDS: Final = (0.8, 1.25)
"""Slowest and fastest speed of a voice of the pool."""


@dataclass(frozen=True, slots=True)
class ServedVoice:
    """A voice of the server."""

    name: str
    speed: float
    """1 is the voice's own, 2 twice as fast."""
    instructions: str
    language: str
    """Code of the language that it reads."""


def served_voice(voice: VoiceSpec, pool: tuple[str, ...]) -> ServedVoice:
    """Return the server's voice of a character: the one it names, else always the same one of `pool`.

    Raises ModelError when it names none and the pool is empty.
    """
    named = voice.server
    if named is not None:
        return ServedVoice(named.name, named.rate, named.instructions, named.language)
    if not pool:
        raise ModelError(
            f"Voice {voice.voice_id!r} does not name a voice of the speech server.",
            remedy="Add `server: {voice: NAME}` to it in voices.yaml, or list the server's voices in tts.voices.",
        )
    name = pool[zlib.crc32(voice.voice_id.encode(errors="replace")) % len(pool)]
    slowest, fastest = _POOL_SPEEDS
    speed = round(min(max(voice.rate / _NORMAL_RATE, slowest), fastest), 2)
    return ServedVoice(name, speed, "", language_code(voice.espeak))


def request_body(text: str, voice: ServedVoice, options: SpeechServerOptions) -> dict[str, Any]:
    """Return the body of POST /audio/speech. Keys with default values are left out: not every server knows them.

    Reference: https://platform.openai.com/docs/api-reference/audio/createSpeech
    """
    body: dict[str, Any] = {
        **options.extra,
        "model": options.model,
        "input": text,
        "voice": voice.name,
        "response_format": options.format,
    }
    if voice.speed != 1:
        body["speed"] = voice.speed
    if voice.instructions:
        body["instructions"] = voice.instructions
    return body


def readable(text: str) -> str:
    """Return `text`, at the same length, with a blank for each control character and lone surrogate."""
    return "".join(" " if unicodedata.category(letter) in ("Cc", "Cs") else letter for letter in text)
