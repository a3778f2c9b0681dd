"""The picture of docs/lip-sync.md: one sentence's mouth shapes over time, in the four viseme sets.

`python -m bench.lip_sync` writes docs/lip-sync.svg. The speech is espeak-ng's: sounds and
times are the same each time, only its noise differs.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np

from mythicd.audio.pcm import to_array
from mythicd.engines.tts import PhonemeOnset
from mythicd.native.espeakng import EspeakNg
from mythicd.tts.visemes.track import VisemeTrack
from mythicd.wire.frames import ARKIT, VISEME_SETS
from mythicd.wire.messages import BlendEvent, MouthEvent, VisemeEvent, VisemeSetName

SVG = Path("docs/lip-sync.svg")
TEXT = "We open at noon, and the fish is fresh."
VOICE = "en-us+f2"
RATE_WPM = 140
COLOURS: dict[VisemeSetName, str] = {"ovr15": "#1a4a7a", "vrm": "#2f7d5b", "rhubarb": "#b04a3a"}


def tracks(pcm: bytes, onsets: list[PhonemeOnset], rate: int) -> dict[VisemeSetName, list[MouthEvent]]:
    """Return the events of the whole sentence in each set."""
    total = len(pcm) // 2
    found: dict[VisemeSetName, list[MouthEvent]] = {}
    for name in VISEME_SETS:
        track = VisemeTrack(rate, name)
        found[name] = track.add(onsets, total) + track.finish(total)
    return found


def draw(
    path: Path, pcm: bytes, onsets: list[PhonemeOnset], rate: int, sets: dict[VisemeSetName, list[MouthEvent]]
) -> None:
    """Draw waveform, single shapes and blend shapes into an SVG file."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "mythic", "font.size": 8})  # the same data gives the same file
    from matplotlib import pyplot

    blends = [event for event in sets["arkit"] if isinstance(event, BlendEvent)]
    used = sorted({code for event in blends for code, _ in event.weights if not ARKIT[code].endswith("Right")})
    figure, axes = pyplot.subplots(
        5, 1, figsize=(11, 7.4), sharex=True, height_ratios=[1.0, 0.8, 0.8, 0.8, 0.22 * len(used)]
    )
    figure.set_layout_engine("constrained")
    seconds = len(pcm) / 2 / rate
    step = rate // 150
    sound = to_array(pcm)[: len(pcm) // 2 // step * step].reshape(-1, step) / 32768
    times = np.arange(len(sound)) * step / rate
    axes[0].fill_between(times, sound.min(axis=1), sound.max(axis=1), color="#aaaaaa", linewidth=0)
    for onset, after in pairwise([*onsets, PhonemeOnset(len(pcm) // 2, "")]):
        if onset.ipa:
            axes[0].axvline(onset.sample / rate, color="#cccccc", linewidth=0.5)
            middle = (onset.sample + after.sample) / 2 / rate
            axes[0].annotate(onset.ipa, (middle, 0.97), ha="center", va="top", xycoords=("data", "axes fraction"))
    axes[0].set_title(f"“{TEXT}”", loc="left", fontsize=9)
    for panel, name in zip(axes[1:4], COLOURS, strict=True):
        for event in sets[name]:
            assert isinstance(event, VisemeEvent)
            level = event.weight / 255 if event.code else 0.04
            begin, length = event.start / rate, event.duration / rate
            panel.bar(
                begin, level, length, align="edge", color=COLOURS[name], alpha=0.75 if event.code else 0.3, linewidth=0
            )
            panel.axvline(begin, color="white", linewidth=1)
            label = VISEME_SETS[name].shapes[event.code]
            panel.annotate(label, (begin + length / 2, level + 0.05), ha="center", fontsize=7)
        panel.set(ylim=(0, 1.3))
    image = np.zeros((len(used), len(pcm) // 2 // 50))
    for blend in blends:
        for code, weight in blend.weights:
            if code in used:
                image[used.index(code), blend.start // 50 : blend.end // 50] = weight / 255
    shown = axes[4].imshow(
        image, aspect="auto", cmap="Blues", vmin=0, vmax=0.7, extent=(0, seconds, len(used), 0), interpolation="none"
    )
    axes[4].set_yticks([row + 0.5 for row in range(len(used))], [ARKIT[code].removesuffix("Left") for code in used])
    axes[4].set(xlabel="seconds")
    figure.colorbar(shown, ax=axes[4], pad=0.01, aspect=12)
    for panel, label in zip(axes, ("", *COLOURS, "arkit"), strict=True):
        panel.set_ylabel(label)
        panel.spines[["top", "right", "left"]].set_visible(False)
        panel.tick_params(axis="y", length=0)
    for panel in axes[:4]:
        panel.set_yticks([])
    axes[0].set_xlim(0, seconds)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def main() -> int:
    """Speak the sentence, draw it, and return the exit code."""
    engine = EspeakNg.load()
    chunks = list(engine.synthesize(TEXT, VOICE, RATE_WPM, 50))
    pcm = b"".join(chunk.pcm for chunk in chunks)
    onsets = [onset for chunk in chunks for onset in chunk.phonemes]
    sets = tracks(pcm, onsets, engine.sample_rate)
    draw(SVG, pcm, onsets, engine.sample_rate, sets)
    for name, events in sets.items():
        print(f"{name}: {len(events)} events in {len(pcm) / 2 / engine.sample_rate:.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
