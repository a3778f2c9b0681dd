"""Residual echo: the judgement on synthetic signals, and the whole canceller in generated rooms."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.open_mic import acoustics
from bench.open_mic import echo as cases
from mythicd.aec.canceller import CancelledFrame, EchoCanceller
from mythicd.aec.residual_echo import ResidualEcho
from mythicd.audio.pcm import MIC_RATE
from mythicd.engines.vad import VAD_FRAME, VadStream
from mythicd.vad.gated_silero import GatedSileroVad
from tests.fakes import FakeVad

pytestmark = pytest.mark.engine

Samples = NDArray[np.float64]


def bursts(seed: int, seconds: float) -> Samples:
    """Return noise with the rhythm of syllables, each with its own spectrum; about −20 dBFS."""
    rng = np.random.default_rng(seed)
    syllables: list[Samples] = []
    while sum(len(one) for one in syllables) < seconds * MIC_RATE:
        length = int(rng.integers(1600, 4000))
        spectrum = np.fft.rfft(rng.standard_normal(length))
        hertz = np.fft.rfftfreq(length, 1 / MIC_RATE)
        spectrum *= sum(np.exp(-(((hertz - middle) / 300) ** 2)) for middle in rng.uniform(200, 5000, 3))
        said = np.fft.irfft(spectrum, length) * np.hanning(length)
        syllables += [said / np.abs(said).max() * 10_000, np.zeros(int(rng.integers(400, 3000)))]
    return np.concatenate(syllables)[: int(seconds * MIC_RATE)]


def shares(judge: ResidualEcho, mic: Samples, reference: Samples | None) -> list[float]:
    noise = np.random.default_rng(5).standard_normal(len(mic)) * 10
    pcm = np.rint(mic + noise).astype("<i2")
    found = []
    for at in range(0, len(pcm) - VAD_FRAME + 1, VAD_FRAME):
        frame = pcm[at : at + VAD_FRAME].tobytes()
        played = None if reference is None else reference[at : at + VAD_FRAME].astype(np.float32)
        found.append(judge.push(frame, frame, played))
    return found


def late(sound: Samples, ms: float, gain_db: float) -> Samples:
    samples = int(ms * MIC_RATE / 1000)
    return np.concatenate([np.zeros(samples), sound[: len(sound) - samples]]) * 10 ** (gain_db / 20)


@pytest.mark.parametrize("delay_ms", [20, 160, 400])
@pytest.mark.parametrize("gain_db", [-6, -20])
def test_echo_is_explained_by_the_far_end(delay_ms: float, gain_db: float) -> None:
    reference, judge = bursts(1, 6), ResidualEcho()
    found = shares(judge, late(reference, delay_ms, gain_db), reference)
    assert np.mean(found[100:]) > 0.95
    assert judge.delay_ms == pytest.approx(delay_ms, abs=40)


def test_echo_is_explained_after_a_delay_jump() -> None:
    reference, judge = bursts(1, 6), ResidualEcho()
    mic = np.concatenate([late(reference, 120, -10)[:48000], late(reference, 75, -10)[48000:]])
    found = shares(judge, mic, reference)
    assert np.mean(found[150:165]) > 0.95


def test_another_voice_is_not_explained() -> None:
    reference, judge = bursts(1, 8), ResidualEcho()
    mic = late(reference, 100, -10)
    mic[64000:] += bursts(2, 4)
    found = shares(judge, mic, reference)
    loud = [share for share, level in zip(found[200:], _levels(bursts(2, 4)), strict=True) if level > 2000]
    assert np.mean(np.array(loud) < 0.75) > 0.7


def _levels(sound: Samples) -> list[float]:
    return [float(np.sqrt(np.mean(frame**2))) for frame in sound.reshape(-1, VAD_FRAME)]


def test_speech_with_headphones_is_soon_unexplained() -> None:
    reference, judge = bursts(1, 8), ResidualEcho()
    shares(judge, np.zeros(len(reference)), reference)
    assert judge.gain_db < -15
    faint = bursts(2, 4) * 0.1
    found = shares(judge, faint, reference)
    loud = [share for share, level in zip(found, _levels(faint), strict=True) if level > 200]
    assert np.mean(loud) < 0.6, "speech 20 dB below the far end was explained"


def test_louder_echo_than_expected_is_learnt() -> None:
    reference, judge = bursts(1, 10), ResidualEcho()
    found = shares(judge, late(reference, 100, 3), reference)
    assert np.mean(found[-100:]) > 0.9


def test_without_far_end_audio_passes_unchanged() -> None:
    assert set(shares(ResidualEcho(), bursts(1, 2), None)) == {0.0}
    canceller, detector = EchoCanceller(), FakeVad().open()
    canceller.open()
    frame = b"\1\0" * VAD_FRAME
    listened = [canceller.listen(frame, detector) for _ in range(200)]
    assert {one.pcm for one in listened} == {frame}
    assert [one.probability for one in listened] == FakeVad().open().push(frame * 200)


def test_judgement_ends_two_seconds_after_the_far_end() -> None:
    reference, judge = bursts(1, 3), ResidualEcho()
    shares(judge, late(reference, 100, -10), reference)
    after = shares(judge, bursts(2, 3), None)
    assert all(share == 0.0 for share in after[100:])
    assert any(share > 0.0 for share in after[:90])


def test_without_the_package_echo_is_not_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    assert EchoCanceller().cancels
    monkeypatch.setitem(sys.modules, "pywebrtc_audio", None)
    canceller = EchoCanceller()
    assert not canceller.cancels
    canceller.open()
    canceller.far_end.sent(1, bursts(1, 2).astype("<i2").tobytes(), MIC_RATE)
    canceller.far_end.played(1, 0, 0)
    frame = bursts(1, 2)[8000:8320].astype("<i2").tobytes()
    assert canceller.listen(frame, FakeVad().open()).pcm == frame


def test_canceller_removes_the_echo() -> None:
    reference = bursts(1, 6)
    canceller, detector = EchoCanceller(), FakeVad().open()
    canceller.open()
    canceller.far_end.sent(1, reference.astype("<i2").tobytes(), MIC_RATE)
    canceller.far_end.played(1, 0, 0)
    mic = np.rint(late(reference, 80, -8)).astype("<i2")
    cleaned = b"".join(
        canceller.listen(mic[at : at + VAD_FRAME].tobytes(), detector).pcm for at in range(0, len(mic), VAD_FRAME)
    )
    left = np.frombuffer(cleaned, "<i2").astype(float)[-32000:]
    before = mic[-32000:].astype(float)
    assert 10 * np.log10(np.mean(before**2) / np.mean(left**2)) > 20


# --- rooms -----------------------------------------------------------------------------------------------------------


@pytest.fixture
async def vad() -> GatedSileroVad:
    gate = GatedSileroVad()
    await gate.start()
    return gate


PLAYHEADS = pytest.mark.parametrize("mic_samples", [True, False], ids=["mic_samples", "arrival"])
CASES = 50


@PLAYHEADS
async def test_echo_does_not_interrupt_the_reply(vad: GatedSileroVad, mic_samples: bool) -> None:
    judged = cases.sweep(range(1000, 1000 + CASES), vad, player=False, mic_samples=mic_samples, sentences=1)
    false = [case.story for case, verdict in judged if verdict.is_false]
    assert len(false) <= cases.MAX_FALSE * len(judged), "\n".join(false)


@PLAYHEADS
async def test_speech_over_the_far_end_is_detected(vad: GatedSileroVad, mic_samples: bool) -> None:
    judged = cases.sweep(range(2000, 2000 + CASES), vad, player=True, mic_samples=mic_samples, sentences=1)
    missed = [case.story for case, verdict in judged if verdict.caught_ms is None]
    assert len(judged) - len(missed) >= cases.MIN_CAUGHT * len(judged), "\n".join(missed)


@pytest.mark.parametrize("onset_ms", [cases.KNOWN_MS, 900, 1500])
async def test_speech_over_the_far_end_with_headphones_is_detected(vad: GatedSileroVad, onset_ms: int) -> None:
    """Without echo for half a second, no speech of the player is taken for one."""
    judged = [(case := cases.headphones(seed, onset_ms=onset_ms), cases.judge(case, vad)) for seed in range(20)]
    missed = [case.story for case, verdict in judged if verdict.caught_ms is None or verdict.caught_ms > 500]
    assert len(missed) <= 2, "\n".join(missed)


async def test_speech_with_headphones_is_detected_to_its_end(vad: GatedSileroVad) -> None:
    """The player's own speech does not count as echo: between its words the noise explains all energy."""

    class Listening(EchoCanceller):
        heard: list[float]

        def listen(self, frame: bytes, detector: VadStream) -> CancelledFrame:
            listened = super().listen(frame, detector)
            self.heard.append(listened.probability)
            return listened

    voiced = lost = 0
    for seed in range(20):
        case, canceller, detector = cases.headphones(seed, onset_ms=1500), Listening(), vad.open()
        canceller.heard = []
        cases.judge(case, vad, canceller)
        alone = [probability > 0.5 for probability in detector.push(acoustics.to_pcm(case.mic))]
        said = range((case.onset or 0) // VAD_FRAME, len(canceller.heard))
        voiced += sum(alone[at] for at in said)
        lost += sum(alone[at] and canceller.heard[at] <= 0.5 for at in said)
    assert lost < 0.1 * voiced, f"{lost} of {voiced} frames"


async def test_cases_fail_without_a_far_end(vad: GatedSileroVad) -> None:
    """Without a reference nearly all of them are false barge-ins."""

    class Unaware(EchoCanceller):
        def __init__(self) -> None:
            super().__init__()
            self.far_end.played = lambda *_: None  # type: ignore[method-assign]

    ten = [cases.case(seed, player=False, mic_samples=True) for seed in range(1000, 1010)]
    assert sum(cases.judge(case, vad, Unaware()).is_false for case in ten) >= 8
