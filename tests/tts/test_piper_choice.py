"""The choice of a Piper voice for characters that name none."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

from mythicd.config.world_files import load_world
from mythicd.engines.tts import VoiceSpec
from mythicd.tts.piper.choice import choose, language_of

WORLD = Path(__file__).parents[2] / "worlds" / "lanternport"
JOE = "en_US-joe-medium"


def test_voices_of_a_world_are_told_apart_in_one_model() -> None:
    voices = load_world(WORLD).voices.values()
    made = [choose(voice, [JOE]) for voice in voices]
    for one, other in combinations(made, 2):
        assert one is not None and other is not None
        apart = abs(one.pitch - other.pitch) / 1.0 + abs(one.rate / other.rate - 1) / 0.1
        assert apart >= 1, f"{one} sounds like {other}"


def test_the_choice_is_always_the_same() -> None:
    voice = VoiceSpec("marla", "en-gb+f2", 165, 52)
    made = choose(voice, [JOE, "en_GB-alba-medium", "de_DE-thorsten-medium"])
    assert made == choose(voice, [JOE, "en_GB-alba-medium", "de_DE-thorsten-medium"])
    assert made is not None and (made.model, made.rate, made.pitch) == ("en_GB-alba-medium", 1.0, 4.12)


@pytest.mark.parametrize(
    ("espeak", "model"),
    [("de+m3", "de_DE-thorsten-medium"), ("en-us", "/voices/en_US-joe-medium.onnx"), ("fr-fr", None)],
)
def test_the_language_comes_first(espeak: str, model: str | None) -> None:
    made = choose(VoiceSpec("x", espeak), ["de_DE-thorsten-medium", "/voices/en_US-joe-medium.onnx"])
    assert (made and made.model) == model


def test_description_moves_pitch_and_rate() -> None:
    low, high = (choose(VoiceSpec("x", "en", 165, pitch), [JOE]) for pitch in (10, 90))
    man, woman = (choose(VoiceSpec("x", f"en+{sex}1"), [JOE]) for sex in "mf")
    slow, fast = (choose(VoiceSpec("x", "en", rate), [JOE]) for rate in (80, 450))
    assert low and high and man and woman and slow and fast
    assert high.pitch - low.pitch == pytest.approx(80 / 99 * 6, abs=0.02)
    assert woman.pitch - man.pitch == 4
    assert (slow.rate, fast.rate) == (0.8, 1.25)


@pytest.mark.parametrize(
    ("model", "code"), [(JOE, "en"), ("/a/de_DE-x-low.onnx", "de"), ("mine.onnx", "en"), ("", "en")]
)
def test_names_tell_the_language(model: str, code: str) -> None:
    assert language_of(model) == code
