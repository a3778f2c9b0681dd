"""The far end: what the player's loudspeaker plays, on the microphone's sample clock, as the canceller's reference.

A playhead tells how many samples of a voice stream were heard at which microphone sample. Playheads are coarse, since a
game reads both positions once per buffer, and a canceller copes better with a wrong delay than with a wavering one: a
voice moves only when two playheads in a row disagree with its position. The canceller finds the rest of the delay
(device, room) itself if the reference is early, so all audio is placed ahead of its time (`LEAD_MS`). Positions are
samples at 16 kHz of the open microphone stream, unless stated.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mythicd.audio.pcm import MIC_RATE, Resampler, samples_of, to_array

LEAD_MS: Final = 40.0
"""Lead of the reference over playheads that name the microphone's sample."""

LOOSE_LEAD_MS: Final = 120.0
"""The same for other playheads, which are as late as their message, up to 100 ms."""

SLACK_MS: Final = 30.0
"""Disagreement that is within a playhead's resolution: an audio buffer and a microphone frame."""

LOOSE_SLACK_MS: Final = 100.0
"""The same for a playhead that does not name the microphone's sample."""

FADE_MS: Final = 15.0
"""Length of the fade with which a client cuts a voice."""

CUT_MS: Final = 60.0
"""Longest time for which a cut voice may still sound before the client reports its end."""

DUCK_MS: Final = 60.0
"""Delay with which a client ducks a voice. Too long is only strict; too short lets echo pass."""

KEPT_S: Final = 15.0
"""Seconds of a stream that are kept; the daemon sends two seconds ahead of the playhead."""

BEHIND_MS: Final = 1000.0
"""Played audio that is kept, in case the voice moves to a later position."""

MAX_STREAMS: Final = 16
"""Streams known at once; the oldest is forgotten."""


@dataclass(slots=True)
class _Voice:
    """A voice stream; `samples` are at 16 kHz."""

    rate: int
    resampler: Resampler
    samples: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    base: int = 0
    """Index of the first kept sample."""
    at: int | None = None
    """Microphone sample at which the stream begins; None before the first playhead."""
    precise: bool = False
    """Whether a playhead has named the microphone's sample."""
    stray: list[int] = field(default_factory=list)
    """Beginnings of the stream by the last playheads, if they disagree with `at`."""
    end: int | None = None
    """Stream sample at which it was cut or ended; None if neither."""
    gain: float = 1.0
    next_gain: float = 1.0
    gain_from: int = 0
    """Microphone sample from which `next_gain` holds."""

    @property
    def known(self) -> int:
        """Index after the last known sample."""
        return self.base + len(self.samples)


class FarEnd:
    """All voices from one player's loudspeaker."""

    def __init__(self) -> None:
        self._voices: dict[int, _Voice] = {}
        self._read = 0
        self._arrived = 0

    def open(self) -> None:
        """Open a microphone stream: its samples count from 0, and the positions of the voices are unknown again."""
        self._read = self._arrived = 0
        for voice in self._voices.values():
            voice.at, voice.precise, voice.stray, voice.gain_from = None, False, [], 0

    def arrived(self, samples: int) -> None:
        """Count microphone samples that arrived; a playhead that names no sample refers to this moment."""
        self._arrived += samples

    def sent(self, stream: int, pcm: bytes, rate: int) -> None:
        """Take the next s16le audio of a voice stream, which is sent to the client."""
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
        """Take a playhead: `played_samples` (at the stream's rate) were played at the microphone's `mic_sample`.

        With None the arrival of the message counts.
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
        """Take the gain with which the client plays the stream from now on; 0 restores it."""
        voice = self._voices.get(stream)
        if voice is not None:
            voice.gain, voice.next_gain = voice.next_gain, float(10 ** (gain_db / 20))
            voice.gain_from = self._arrived + samples_of(DUCK_MS, MIC_RATE)

    def cut(self, stream: int) -> None:
        """Note that the stream is cut: it fades about now, and `stopped` gives its end."""
        voice = self._voices.get(stream)
        if voice is not None and voice.at is not None and voice.end is None:
            voice.end = max(0, self._arrived - voice.at) + samples_of(CUT_MS + FADE_MS, MIC_RATE)

    def stopped(self, stream: int, played_samples: int) -> None:
        """Note that the stream ended, after so many samples at its own rate."""
        voice = self._voices.get(stream)
        if voice is not None:
            voice.end = played_samples * MIC_RATE // voice.rate

    def take(self, samples: int) -> NDArray[np.float32] | None:
        """Return the far end of the next microphone samples, full scale 32768; None for silence."""
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
        """Continue at this sample of the microphone: the samples before it were lost."""
        self._read = sample
