"""What one player's loudspeaker plays, laid on the microphone's sample clock: the reference of the echo canceller.

Every voice stream is known before it sounds, since frames run ahead of the listener. Where it lies on the clock is told
by playheads: so many samples of the stream were heard when the microphone stood at such a sample. Between playheads it
is taken to go on. Playheads are coarse (a game reads both positions by the buffer), so the layout moves only when two
in a row disagree with it: an echo canceller would rather have a delay that is wrong than one that wavers. What is left
of the delay (the device, the room) it finds by itself, as long as the reference is early; therefore everything is laid
a little before its time.

All positions are samples at 16 kHz of the open microphone's stream, unless they say otherwise. No clock, no model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mythicd.audio.pcm import MIC_RATE, Resampler, samples_of, to_array

LEAD_MS: Final = 40.0
"""How much earlier than the playheads say the reference is laid, where they name the microphone's sample."""

LOOSE_LEAD_MS: Final = 120.0
"""The same, where they do not: then a playhead is as late as the message, up to 100 ms."""

SLACK_MS: Final = 30.0
"""Disagreement of a playhead that is its own coarseness: an audio buffer here, a microphone frame there."""

LOOSE_SLACK_MS: Final = 100.0
"""The same, where the playhead does not name the microphone's sample."""

FADE_MS: Final = 15.0
"""In which a client fades a voice that is cut off."""

CUT_MS: Final = 60.0
"""How long a voice that is cut off may still sound, until the client says where it ended."""

DUCK_MS: Final = 60.0
"""How long after being asked a client ducks a voice: too late only makes us strict, too early lets echo through."""

KEPT_S: Final = 15.0
"""Longest stretch of a stream that is kept; a daemon sends two seconds ahead of the playhead."""

BEHIND_MS: Final = 1000.0
"""How much of what has sounded is kept, in case the layout moves back."""

MAX_STREAMS: Final = 16
"""Streams known at once; the oldest is forgotten."""


@dataclass(slots=True)
class _Voice:
    """One voice stream; `samples` are its own at 16 kHz from its beginning."""

    rate: int
    resampler: Resampler
    samples: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    base: int = 0
    """Index of the first sample that is kept."""
    at: int | None = None
    """Microphone sample at which the stream begins; None while nobody has said."""
    precise: bool = False
    """Whether a playhead has named the microphone's sample."""
    stray: list[int] = field(default_factory=list)
    """Where the stream would begin by the last playheads, if they disagree with `at`."""
    end: int | None = None
    """Stream sample at which it falls silent; None while it goes on to its end."""
    gain: float = 1.0
    next_gain: float = 1.0
    gain_from: int = 0
    """Microphone sample from which `next_gain` holds."""

    @property
    def known(self) -> int:
        """Index behind the last sample that is known."""
        return self.base + len(self.samples)


class FarEnd:
    """One player's loudspeaker, with all voices that sound from it."""

    def __init__(self) -> None:
        self._voices: dict[int, _Voice] = {}
        self._read = 0
        self._arrived = 0

    def open(self) -> None:
        """A microphone opens: its samples count from 0, and where the voices lie is to be said anew."""
        self._read = self._arrived = 0
        for voice in self._voices.values():
            voice.at, voice.precise, voice.stray, voice.gain_from = None, False, [], 0

    def arrived(self, samples: int) -> None:
        """So many more samples of the microphone have arrived: a playhead that names none means this moment."""
        self._arrived += samples

    def sent(self, stream: int, pcm: bytes, rate: int) -> None:
        """The next s16le of a voice stream leaves for the client."""
        voice = self._voices.get(stream)
        if voice is None:
            while len(self._voices) >= MAX_STREAMS:
                del self._voices[next(iter(self._voices))]
            voice = self._voices[stream] = _Voice(rate, Resampler(rate, MIC_RATE))
        new = to_array(voice.resampler.add(pcm)).astype(np.float32)
        excess = len(voice.samples) + len(new) - int(KEPT_S * MIC_RATE)
        if excess > 0:
            voice.samples, voice.base = voice.samples[excess:], voice.base + min(excess, len(voice.samples))
        voice.samples = np.concatenate([voice.samples, new])

    def played(self, stream: int, played_samples: int, mic_sample: int | None = None) -> None:
        """The client heard so many samples of the stream (at its own rate) when the microphone stood at `mic_sample`.

        None where the client did not say: then the moment at which the message came counts.
        """
        voice = self._voices.get(stream)
        if voice is None:
            return
        precise = mic_sample is not None
        if voice.precise and not precise:
            return
        now = self._arrived if mic_sample is None else mic_sample
        at = now - played_samples * MIC_RATE // voice.rate
        if voice.at is None or (precise and not voice.precise):
            voice.at, voice.precise, voice.stray = at, precise, []
            return
        if abs(at - voice.at) <= samples_of(SLACK_MS if precise else LOOSE_SLACK_MS, MIC_RATE):
            voice.stray = []
            return
        voice.stray.append(at)
        if len(voice.stray) > 1:
            voice.at, voice.stray = min(voice.stray), []

    def ducked(self, stream: int, gain_db: float) -> None:
        """The stream sounds this much louder (or less loud) from now on than it was sent; 0 takes it back."""
        voice = self._voices.get(stream)
        if voice is not None:
            voice.gain, voice.next_gain = voice.next_gain, float(10 ** (gain_db / 20))
            voice.gain_from = self._arrived + samples_of(DUCK_MS, MIC_RATE)

    def cut(self, stream: int) -> None:
        """The stream is cut off: it fades about now, and `stopped` will say where."""
        voice = self._voices.get(stream)
        if voice is not None and voice.at is not None and voice.end is None:
            voice.end = max(0, self._arrived - voice.at) + samples_of(CUT_MS + FADE_MS, MIC_RATE)

    def stopped(self, stream: int, played_samples: int) -> None:
        """The stream is silent for good, after so many samples at its own rate."""
        voice = self._voices.get(stream)
        if voice is not None:
            voice.end = played_samples * MIC_RATE // voice.rate

    def take(self, samples: int) -> NDArray[np.float32] | None:
        """Return what sounds in the next so many samples of the microphone, full scale 32768; None for silence."""
        start, self._read = self._read, self._read + samples
        mixed: NDArray[np.float32] | None = None
        for stream, voice in list(self._voices.items()):
            if voice.at is None:
                continue
            lead = samples_of(LEAD_MS if voice.precise else LOOSE_LEAD_MS, MIC_RATE)
            first = start + lead - voice.at
            end = voice.known if voice.end is None else min(voice.end, voice.known)
            if voice.end is not None and first - samples_of(BEHIND_MS, MIC_RATE) > voice.end:
                del self._voices[stream]
                continue
            old = first - samples_of(BEHIND_MS, MIC_RATE) - voice.base
            if old > MIC_RATE:
                voice.samples, voice.base = voice.samples[old:], voice.base + min(old, len(voice.samples))
            begin, stop = max(first, voice.base), min(first + samples, end)
            if begin >= stop:
                continue
            if mixed is None:
                mixed = np.zeros(samples, dtype=np.float32)
            gain = voice.next_gain if start + lead >= voice.gain_from else voice.gain
            mixed[begin - first : stop - first] += gain * voice.samples[begin - voice.base : stop - voice.base]
        return mixed

    def seek(self, sample: int) -> None:
        """The next frame taken begins at this sample of the microphone: some were lost on the way."""
        self._read = sample
