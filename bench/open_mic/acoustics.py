"""Acoustics: generated rooms, voices, echoes, a fan, a tavern, a game, all from a seeded generator.

Sounds are float arrays at 16 kHz, full scale 1.0. Levels are in dBFS, over the loud part.
"""

from __future__ import annotations

import functools
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mythicd.audio.pcm import MIC_RATE, Resampler
from mythicd.native.espeakng import EspeakNg

Sound = NDArray[np.float64]

PLAYER_DBFS: Final = -19.0
"""Level of the player's voice: espeak-ng's own, as `mythicd talk` plays it."""

VOICES: Final = (
    "en-us+m1 en-us+m3 en-us+m7 en-us+f1 en-us+f2 en-us+f4 en-gb+m2 en-gb+m5 en-gb+f3 en-gb-scotland+m4 en-gb-x-rp+m6"
).split()

SENTENCES: Final = (
    "The harbour closes at sunset, and nobody gets in after that.",
    "Have you heard what happened at the mill last night?",
    "I would rather not speak about the old lighthouse, if it is all the same to you.",
    "Bring me three barrels of salt and we can talk about the price.",
    "My brother went north in the spring and never wrote a word.",
    "The guild takes its share of everything that leaves this town.",
    "Go down the stairs, turn left at the fountain, and ask for Martha.",
    "There are wolves in the hills again, so keep to the road.",
    "He said that he would pay me on Friday, and that was two weeks ago.",
    "You look like somebody who could use a warm meal and a bed.",
    "Nobody opens the crypt without the priest, and the priest is drunk.",
    "It rained for nine days, and then the bridge was gone.",
)

INTERRUPTIONS: Final = (
    "Wait, where is the mill?",
    "Stop, I have another question.",
    "No, tell me about the guild.",
    "Hold on, who is Martha?",
    "That is not what I asked.",
    "Excuse me, when does it close?",
)


@functools.lru_cache(maxsize=512)
def _said(text: str, voice: str, rate: int, pitch: int) -> tuple[bytes, int]:
    espeak = EspeakNg.load()
    return b"".join(chunk.pcm for chunk in espeak.synthesize(text, voice, rate, pitch)), espeak.sample_rate


def say(text: str, voice: str, rate: int = 165, pitch: int = 50) -> tuple[bytes, int]:
    """Return espeak-ng's speech as s16le, and its sample rate."""
    return _said(text, voice, rate, pitch)


def heard(pcm: bytes, rate: int) -> Sound:
    """Return s16le of any rate as a sound."""
    resampler = Resampler(rate, MIC_RATE)
    return np.frombuffer(resampler.add(pcm) + resampler.finish(), dtype="<i2") / 32768.0


def to_pcm(sound: Sound) -> bytes:
    """Return a sound as s16le at 16 kHz, clipped at full scale."""
    return np.clip(np.rint(sound * 32768.0), -32768, 32767).astype("<i2").tobytes()


def dbfs(sound: Sound) -> float:
    """Return the level of the part that is not silent: of 20 ms frames above 1/1000 of the loudest one's power."""
    frames = sound[: len(sound) // 320 * 320].reshape(-1, 320)
    powers = np.mean(frames**2, axis=1)
    loud = powers[powers > powers.max() / 1000]
    return float(10 * np.log10(loud.mean()))


def at_level(sound: Sound, level: float) -> Sound:
    """Return the sound at a level in dBFS."""
    return sound * 10 ** ((level - dbfs(sound)) / 20)


def audible(sound: Sound) -> tuple[int, int]:
    """Return the first and the last sample above 1/30 of the peak."""
    loud = np.flatnonzero(np.abs(sound) > np.abs(sound).max() / 30)
    return int(loud[0]), int(loud[-1])


def impulse_response(rng: np.random.Generator, *, rt60_s: float, direct_db: float) -> Sound:
    """Return a room's impulse response, of energy 1: the direct sound, some early reflections, a tail of noise.

    `rt60_s` is the time in which the tail falls by 60 dB; `direct_db` the level of the direct sound above the rest.
    """
    length = int(rt60_s * MIC_RATE)
    time = np.arange(length) / MIC_RATE
    rest = rng.standard_normal(length) * 10 ** (-3 * time / rt60_s)
    rest[: int(0.004 * MIC_RATE)] = 0.0
    for _ in range(6):
        rest[rng.integers(int(0.001 * MIC_RATE), int(0.02 * MIC_RATE))] += rng.choice((-1, 1)) * rng.uniform(2, 6)
    rest /= np.sqrt(np.sum(rest**2))
    rest[0] = 10 ** (direct_db / 20)
    return np.asarray(rest / np.sqrt(np.sum(rest**2)), dtype=np.float64)


def convolve(sound: Sound, response: Sound) -> Sound:
    """Return the sound in a room, cut to its original length."""
    size = 1 << (len(sound) + len(response) - 1).bit_length()
    full = np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(response, size), size)
    return full[: len(sound)]


def _shaped(rng: np.random.Generator, samples: int, low_hz: float, high_hz: float, slope: float) -> Sound:
    """Return noise between two frequencies whose amplitude falls with frequency to the power of `slope`."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    hertz = np.fft.rfftfreq(samples, 1 / MIC_RATE)
    weight = np.where((hertz >= low_hz) & (hertz <= high_hz), np.maximum(hertz, 20.0) ** -slope, 0.0)
    return np.fft.irfft(spectrum * weight, samples)


def fan(rng: np.random.Generator, seconds: float, level: float) -> Sound:
    """Return a fan: noise that falls by 5 dB per octave, the hum of the blades, and a slow variation."""
    samples = int(seconds * MIC_RATE)
    time = np.arange(samples) / MIC_RATE
    air = at_level(_shaped(rng, samples, 40, 7500, 0.8), 0.0)
    hum = sum(np.sin(2 * np.pi * 87.0 * n * time + rng.uniform(0, 6.28)) / n**1.5 for n in range(1, 6))
    return at_level((air + 0.5 * hum) * (1 + 0.1 * np.sin(2 * np.pi * 0.7 * time)), level)


def babble(rng: np.random.Generator, seconds: float, level: float, talkers: int = 6) -> Sound:
    """Return a tavern: `talkers` people who talk without end, each at its own distance, in one room."""
    samples = int(seconds * MIC_RATE)
    mixed = np.zeros(samples)
    for talker in range(talkers):
        voice, pitch, rate = VOICES[talker % len(VOICES)], int(rng.integers(30, 70)), int(rng.integers(140, 190))
        track = np.zeros(samples)
        at = -int(rng.integers(0, 2 * MIC_RATE))
        while at < samples:
            said = heard(*say(str(rng.choice(SENTENCES)), voice, rate, pitch))
            start, end = max(0, at), min(samples, at + len(said))
            if end > start:
                track[start:end] += said[start - at : end - at]
            at += len(said) + int(rng.uniform(0.1, 0.9) * MIC_RATE)
        distance = 10 ** (rng.uniform(-6, 0) / 20)
        mixed += distance * convolve(track, impulse_response(rng, rt60_s=0.5, direct_db=-3))
    return at_level(mixed, level)


def game_sounds(rng: np.random.Generator, samples: int, level: float) -> Sound:
    """Return a game's sounds without voices: wind, steps, blades, and a tune. `level` is that of the sum."""
    mixed = at_level(_shaped(rng, samples, 60, 1500, 1.0), -12.0)
    for at in range(int(rng.integers(0, 8000)), samples - 4000, 8400):
        step = rng.standard_normal(1600) * np.exp(-np.arange(1600) / 200)
        mixed[at : at + 1600] += 0.4 * step
    for _ in range(samples // (2 * MIC_RATE)):
        length = min(8000, samples)
        at = int(rng.integers(0, samples - length + 1))
        ring = np.exp(-np.arange(length) / 1500)
        hertz = rng.uniform(1200, 5000, 4)
        mixed[at : at + length] += sum(
            0.12 * ring * np.sin(2 * np.pi * one * np.arange(length) / MIC_RATE) for one in hertz
        )
    notes = np.repeat(rng.choice([220.0, 262.0, 330.0, 392.0, 440.0], samples // 4000 + 1), 4000)[:samples]
    envelope = np.tile(np.exp(-np.arange(4000) / 1500), samples // 4000 + 1)[:samples]
    mixed += 0.15 * envelope * np.sin(2 * np.pi * np.cumsum(notes) / MIC_RATE)
    return at_level(mixed, level)
