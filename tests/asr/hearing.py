"""Generated speech for tests: espeak-ng voices at 16 kHz, in white noise at a chosen signal-to-noise ratio."""

from __future__ import annotations

import numpy as np

from mythicd.audio.pcm import MIC_RATE, Clip
from mythicd.engines.asr import AsrStream, Recognition, Vocabulary
from mythicd.native.espeakng import EspeakNg
from mythicd.text.spoken_words import comparable_words, word_errors

HARBOUR_TOWN = Vocabulary(
    people=("Marla", "Captain Reed", "Brother Anselm", "Old Tom", "the harbor master", "Sister Ivy", "Finn", "Orsolo"),
    places=("tavern", "market", "harbor", "old chapel", "lighthouse", "north gate", "fish market", "Gilded Gull")
    + ("Lanternport",),
    items=("blue lantern", "rope", "silver key", "bread", "ale", "map", "sword", "candle"),
    topics=("smugglers", "guard patrols", "secret passage", "guild dues"),
    lines=(
        "The tavern is open from sunset until two in the morning.",
        "Guard patrols pass the market every five minutes.",
        "The blue lantern hangs by the north gate.",
        "Captain Reed keeps the silver key.",
        "The harbor master collects the toll at noon.",
    ),
)

QUESTIONS = (
    "When does the tavern close?",
    "Where can I find the blue lantern?",
    "How much is the silver key?",
    "Have you seen Captain Reed?",
    "How do I get to the north gate?",
    "What do you know about the smugglers?",
    "Can you show me the way to the lighthouse?",
    "Tell me about Lanternport.",
    "Who is Orsolo?",
    "Please mark the fish market on my map.",
)

OTHER_WORLDS = (
    "The quarterly revenue exceeded expectations.",
    "Photosynthesis converts sunlight into chemical energy.",
    "Do penguins live in Antarctica?",
    "My computer needs a new graphics card.",
)


def say(text: str, voice: str = "en-us", rate: int = 150, *, snr_db: float | None = None) -> bytes:
    """Return `text` spoken at half of full scale, with 200 ms of silence around it, in white noise."""
    espeak = EspeakNg.load()
    pcm = b"".join(chunk.pcm for chunk in espeak.synthesize(text, voice, rate))
    speech = np.frombuffer(Clip(pcm, espeak.sample_rate).at(MIC_RATE).pcm, dtype="<i2").astype(np.float64)
    speech *= 16_384 / np.abs(speech).max()
    power = np.mean(speech**2)
    quiet = np.zeros(MIC_RATE // 5)
    sound = np.concatenate([quiet, speech, quiet])
    if snr_db is not None:
        noise = np.random.default_rng(7).normal(0.0, np.sqrt(power / 10 ** (snr_db / 10)), len(sound))
        sound = sound + noise
    return bytes(np.clip(np.rint(sound), -32768, 32767).astype("<i2").tobytes())


async def hear(stream: AsrStream, pcm: bytes, *, chunk_bytes: int = 640) -> tuple[Recognition, list[str]]:
    """Push `pcm` in chunks; return the final words and all hypotheses."""
    partials = [await stream.push(pcm[at : at + chunk_bytes]) for at in range(0, len(pcm), chunk_bytes)]
    return await stream.finish(), partials


def rate_of_errors(pairs: list[tuple[str, str]]) -> float:
    """Return the word error rate over (reference, hypothesis) pairs together."""
    errors = sum(word_errors(comparable_words(said), comparable_words(heard)) for said, heard in pairs)
    return errors / sum(len(comparable_words(said)) for said, _ in pairs)
