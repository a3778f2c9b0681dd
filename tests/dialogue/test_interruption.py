"""Signs of listening and true interruptions: the policy on made-up voices, and on real ones through real engines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.sayings import BACKCHANNELS, INTERRUPTIONS, noise, spoken
from mythicd.asr.pocketsphinx import PocketSphinxAsr
from mythicd.audio import to_array
from mythicd.dialogue.interruption import Interruption, InterruptionSettings, Verdict
from mythicd.engines import MIC_RATE, VAD_FRAME
from mythicd.listening import ASK_AFTER_S
from mythicd.vad.endpoint import Endpointer, SoftEnd, SpeechResumed, SpeechStart
from mythicd.vad.gate import GateVad
from mythicd.worldfile import load_world

LISTENING, STOPS, OPEN = Verdict.BACKCHANNEL, Verdict.INTERRUPTION, Verdict.UNDECIDED


def test_a_command_stops_at_once() -> None:
    voice = Interruption()
    assert voice.hear(200.0, "the") is OPEN
    assert voice.hear(280.0, "stop") is STOPS
    assert voice.end(400.0, "okay", 1.0) is STOPS, "what is decided stays so"


def test_length_stops() -> None:
    voice = Interruption()
    assert voice.hear(640.0, "where does the") is OPEN
    assert voice.hear(660.0, "where does the") is STOPS
    assert Interruption().hear(880.0, "show me") is OPEN
    assert Interruption().hear(900.0, "market harbor") is STOPS
    assert Interruption().hear(900.0, "okay them") is OPEN, "half of a second okay"
    assert Interruption().hear(1480.0, "okay okay") is OPEN
    assert Interruption().hear(1500.0, "okay okay") is STOPS


@pytest.mark.parametrize("words", ["mhm", "uh huh", "right", "okay okay", "oh i see", "of course", "Yeah"])
def test_signs_of_listening_do_not(words: str) -> None:
    assert Interruption().end(700.0, words, 0.9) is LISTENING


def test_what_is_not_understood_does_not_if_it_is_short() -> None:
    assert Interruption().end(500.0, "", 0.0) is LISTENING
    assert Interruption().end(950.0, "", 0.0) is LISTENING
    assert Interruption().end(1050.0, "", 0.0) is STOPS
    assert Interruption().end(300.0, "who", 0.9) is LISTENING
    assert Interruption().end(300.0, "hello", 0.9) is STOPS
    assert Interruption().end(300.0, "hello", 0.1) is LISTENING


def test_a_sign_and_then_a_question() -> None:
    voice = Interruption()
    assert voice.end(400.0, "okay", 1.0) is LISTENING
    assert voice.hear(1000.0, "okay") is OPEN, "the pause is no voice"
    assert voice.hear(1300.0, "okay where is") is OPEN
    assert voice.end(1700.0, "okay where is it", 0.9) is STOPS


def test_a_sign_and_another_one() -> None:
    voice = Interruption()
    assert voice.end(400.0, "okay", 1.0) is LISTENING
    assert voice.end(400.0, "okay", 1.0) is LISTENING, "the pause was looked at twice"
    assert voice.hear(900.0, "") is OPEN
    assert voice.hear(1300.0, "okay right") is OPEN
    assert voice.end(1300.0, "okay right", 0.9) is LISTENING
    assert voice.end(1300.0, "okay right", 0.9) is LISTENING


@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 300), st.sampled_from(["", "mhm", "the", "stop", "where is it"])))
)
def test_an_interruption_is_final_and_only_an_end_says_that_somebody_listens(
    steps: list[tuple[bool, float, str]],
) -> None:
    voice = Interruption()
    voiced, before = 0.0, OPEN
    for ends, more, words in steps:
        voiced += more
        verdict = voice.end(voiced, words, 0.9) if ends else voice.hear(voiced, words)
        assert verdict is voice.verdict
        assert verdict is STOPS or before is not STOPS
        assert ends or verdict is not LISTENING
        before = verdict


@pytest.mark.parametrize("field", ["long_ms", "sentence_ms", "longest_ms", "unclear_ms"])
def test_longer_settings_never_stop_more(field: str) -> None:
    patient = InterruptionSettings(**{field: 5000.0})
    for voiced in range(100, 2000, 100):
        for words in ("", "who", "where is the", "okay right", "hello"):
            if Interruption(patient).hear(voiced, words) is STOPS:
                assert Interruption().hear(voiced, words) is STOPS


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a voice."""

    text: str
    stopped_ms: float | None
    """From its first sample to the verdict that stops the character; None where it speaks on."""


def sound(text: str, number: int) -> bytes:
    """Return `text` in a room: 0.5 s before it, 0.5 s behind."""
    quiet = np.zeros(MIC_RATE // 2)
    room = np.concatenate([quiet, to_array(spoken(text, number).pcm).astype(np.float64), quiet])
    room += np.random.default_rng(number).normal(0.0, noise(number), len(room))
    return bytes(np.clip(np.rint(room), -32768, 32767).astype("<i2").tobytes())


async def outcome(vad: GateVad, asr: PocketSphinxAsr, text: str, number: int) -> Outcome:
    """Say it over a character."""
    pcm = sound(text, number)
    detector, endpointer, interruption = vad.open(), Endpointer(), Interruption()
    stream, first = None, 0
    withheld: list[bytes] | None = None
    """What is kept from the recogniser while the voice pauses."""
    asks_at: int | None = None
    """The sample at which the pause has lasted long enough to ask what was said."""
    stopped: float | None = None
    recent: list[bytes] = []
    for frame in (pcm[at : at + 2 * VAD_FRAME] for at in range(0, len(pcm) - 2 * VAD_FRAME + 1, 2 * VAD_FRAME)):
        recent = [*recent, frame][-23:]
        for event in endpointer.add(detector.push(frame)):
            if isinstance(event, SpeechStart):
                stream, first = await asr.open(), event.first_voiced
                await stream.push(b"".join(recent[:-1]))
            elif isinstance(event, SoftEnd) and stream is not None:
                await stream.push(frame)
                withheld, asks_at = [], event.sample + round(ASK_AFTER_S * MIC_RATE)
            elif isinstance(event, SpeechResumed) and stream is not None and withheld is not None:
                await stream.push(b"".join(withheld))
                withheld = asks_at = None
        if withheld is not None and stream is not None:
            withheld.append(frame)
            if asks_at is not None and endpointer.samples >= asks_at:
                asks_at = None
                await stream.push(b"".join(withheld))
                withheld = []
                guess = await stream.guess()
                voiced_ms = (endpointer.last_voiced - first) * 1000 / MIC_RATE
                interruption.end(voiced_ms, guess.text, guess.confidence)
        elif stream is not None:
            words = await stream.push(frame)
            interruption.hear((endpointer.samples - first) * 1000 / MIC_RATE, words)
        if interruption.verdict is STOPS:
            stopped = endpointer.samples * 1000 / MIC_RATE - 500
            break
    if stream is not None:
        await stream.abandon()
    return Outcome(text, stopped)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield tmp_path_factory.mktemp("models")


@pytest.mark.engine
async def test_every_second_one_over_a_speaking_character(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vad, asr = GateVad(), PocketSphinxAsr(cache_dir=models)
    await vad.start()
    await asr.start()
    await asr.learn(load_world(Path(__file__).parents[2] / "worlds" / "lanternport").vocabulary())
    over = [await outcome(vad, asr, text, number) for number, text in enumerate(BACKCHANNELS)]
    against = [await outcome(vad, asr, text, number) for number, text in enumerate(INTERRUPTIONS)]
    await asr.stop()
    await vad.stop()
    went_on = [each for each in over if each.stopped_ms is None]
    times = sorted(each.stopped_ms for each in against if each.stopped_ms is not None)
    with capsys.disabled():
        print(f"\n  spoke on at {len(went_on)} of {len(over)} signs of listening,", end="")
        print(f" stopped at {len(times)} of {len(against)} interruptions after {times[len(times) // 2]:.0f} ms", end="")
        print(f" (p95 {times[int(0.95 * len(times))]:.0f})", end="")
    assert len(over) == len(against) == 50
    # Measured: 94 % and 98 %; promised are 90 and 95 %. No espeak-ng says a word twice in the same samples, and other
    # processors round otherwise: two cases more may go wrong here before it is called broken.
    assert len(went_on) >= 0.86 * len(over), [each for each in over if each.stopped_ms is not None]
    assert len(times) >= 0.90 * len(against), [each for each in against if each.stopped_ms is None]
