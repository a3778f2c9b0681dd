"""Utterances over a character's voice: fifty backchannels, and fifty interruptions.

Five espeak-ng voices alternate, and the level of the noise changes every five utterances.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from mythicd.audio.pcm import MIC_RATE, Clip, to_array
from mythicd.native.espeakng import EspeakNg

VOICES: Final = (("en-us+f2", 150), ("en-us+m3", 175), ("en-us+m7", 165), ("en-gb+f4", 160), ("en-us+f5", 185))
"""Voice, and words per minute."""
NOISES: Final = (20.0, 60.0, 200.0)
"""Standard deviation of the room's noise, in sample steps: −64, −55 and −44 dBFS."""
PEAK: Final = 16_384
"""Loudest sample of an utterance."""


def _each(lines: str) -> tuple[str, ...]:
    return tuple(said for line in lines.strip().splitlines() for said in line.split("|"))


# For "um hum" an espeak-ng voice says "mm-hm".
BACKCHANNELS: Final = _each("""
um hum|um hum|hmm|hmm|uh-huh|uh-huh|aha|ah|oh|oh|okay|okay|right|right|yeah|yeah|yes|yes|yep|I see|I see|really|really?
sure|wow|oh really?|yeah yeah|right, right|okay, okay|uh-huh, uh-huh|oh, I see|ah, okay|um hum, yeah|great|nice|good
of course|true|interesting|all right|indeed|exactly|ha ha ha|ha ha|hmm, hmm|ooh|huh|got it|fine|ah yes
""")
INTERRUPTIONS: Final = _each("""
stop|stop!|wait|no|no, no|hold on|that's enough|enough|be quiet|shut up|stop it|wait a moment|where is the market?
I don't care|what about the ferry?|how much is a mug of ale?|who is Captain Hale?|stop talking|listen to me
I have a question|tell me about the ghost ship|excuse me|never mind that|what do you mean?|goodbye|let me speak|quiet!
no, that is not true|show me the way to the market|can you help me?|one moment|I want to buy bread|hey|hello
sorry, but where is the smithy?|just a moment|please stop|okay, stop|yes, but where is it?|right, but how much is it?
wait, wait|hang on|no, wait|that is not what I asked|forget it|when does the ferry leave?|but why?|and who are you?
what is your name?|okay, where is the harbor?
""")


def spoken(text: str, number: int) -> Clip:
    """Return the utterance with this number at MIC_RATE, from its first audible sample to its last."""
    voice, rate = VOICES[number % len(VOICES)]
    espeak = EspeakNg.load()
    pcm = b"".join(chunk.pcm for chunk in espeak.synthesize(text, voice, rate))
    sound = to_array(Clip(pcm, espeak.sample_rate).at(MIC_RATE).pcm).astype(np.float64)
    loud = np.flatnonzero(np.abs(sound) > np.abs(sound).max() / 40)
    sound = np.rint(sound[loud[0] : loud[-1]] * PEAK / np.abs(sound).max())
    return Clip(sound.astype("<i2").tobytes(), MIC_RATE)


def noise(number: int) -> float:
    """Return the standard deviation of the noise with the utterance of this number, in sample steps."""
    return NOISES[number // 5 % len(NOISES)]
