"""The pocketsphinx recogniser on speech of espeak-ng."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from hearing import HARBOUR_TOWN, OTHER_WORLDS, QUESTIONS, hear, rate_of_errors, say

from mythicd.asr.pocketsphinx.confidence import BELIEVABLE
from mythicd.asr.pocketsphinx.decoder import Recogniser
from mythicd.asr.pocketsphinx.engine import PocketSphinxAsr
from mythicd.audio.pcm import MIC_RATE
from mythicd.engines.asr import Asr, Vocabulary
from mythicd.errors import AudioError, BusyError, EngineError, EngineUnavailable, ModelError
from mythicd.text.spoken_words import word_errors

pytestmark = pytest.mark.engine

VOICES = (("en-us", 150), ("en-us+m3", 180), ("en-us+f2", 150), ("en-gb", 150))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache directory for all tests, so that the language model is built once."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture
async def asr(models: Path) -> AsyncIterator[PocketSphinxAsr]:
    engine = PocketSphinxAsr(cache_dir=models)
    await engine.start()
    await engine.learn(HARBOUR_TOWN)
    yield engine
    await engine.stop()


async def test_word_errors_by_voice(asr: PocketSphinxAsr, capsys: pytest.CaptureFixture[str]) -> None:
    rates: dict[tuple[str, float | None], float] = {}
    heard: dict[float | None, list[tuple[str, str]]] = {None: [], 20.0: []}
    for snr_db, pairs in heard.items():
        for voice, rate in VOICES if snr_db else VOICES[:1]:
            mine = []
            for question in QUESTIONS:
                recognition, _ = await hear(await asr.open(), say(question, voice, rate, snr_db=snr_db))
                mine.append((question, recognition.text))
            rates[f"{voice}@{rate}", snr_db] = rate_of_errors(mine)
            pairs += mine
    with capsys.disabled():
        for (voice, snr_db), rate_ in rates.items():
            print(f"\n  WER {rate_:.2f}  {voice}, {'clean' if snr_db is None else f'{snr_db:.0f} dB'}", end="")
    # Measured 0.08 and 0.06; the bound is the documented one at 20 dB.
    assert rate_of_errors(heard[None]) <= 0.15
    assert rate_of_errors(heard[20.0]) <= 0.15


async def test_sentences_of_other_worlds_have_low_confidence(asr: PocketSphinxAsr) -> None:
    strange = [(await hear(await asr.open(), say(text)))[0].confidence for text in OTHER_WORLDS]
    known = [(await hear(await asr.open(), say(text)))[0].confidence for text in QUESTIONS[:6]]
    assert max(strange) < BELIEVABLE
    assert sorted(known)[1] > BELIEVABLE


async def test_partials_come_while_the_player_speaks(asr: PocketSphinxAsr) -> None:
    recognition, partials = await hear(await asr.open(), say("Can you show me the way to the lighthouse?"))
    assert recognition.text == "can you show me the way to the lighthouse"
    half = partials[: len(partials) // 2]
    assert any(half)
    assert partials[-1].startswith("can you show me")


async def test_result_depends_on_the_samples_only(asr: PocketSphinxAsr) -> None:
    pcm = say("Where can I find the blue lantern?", snr_db=20.0)
    first, _ = await hear(await asr.open(), pcm)
    await hear(await asr.open(), say("Tell me about Lanternport.", "en-us+f2", 180))
    for chunk_bytes in (218, 1000, len(pcm)):
        again, _ = await hear(await asr.open(), pcm, chunk_bytes=chunk_bytes)
        assert again.text == first.text == "where can i find the blue lantern"
        assert again.confidence == pytest.approx(first.confidence, abs=0.01)


async def test_decoding_takes_little_cpu_time(asr: PocketSphinxAsr) -> None:
    pcm = say("What do you know about the smugglers and the secret passage?")
    stream = await asr.open()
    process = psutil.Process(asr.pid)

    def spent_s() -> float:
        # CPU time of the recogniser's process, since elapsed time depends on other processes.
        return process.cpu_times().user + process.cpu_times().system

    started = spent_s()
    for at in range(0, len(pcm), 640):
        await stream.push(pcm[at : at + 640])
    heard = spent_s()
    await stream.finish()
    seconds = len(pcm) / 2 / MIC_RATE
    assert heard - started < 0.4 * seconds
    assert spent_s() - started < 0.5 * seconds


@pytest.mark.parametrize("question", ["Who is Orsolo?", "What do you know about the smugglers and the harbor master?"])
async def test_guess_equals_finish(asr: PocketSphinxAsr, question: str) -> None:
    pcm = say(question)  # once: espeak-ng's audio is not the same to the sample each time
    stream = await asr.open()
    await stream.push(pcm)
    guess = await stream.guess()
    assert await stream.guess() == guess
    assert await stream.finish() == guess, "the result was not reused"
    expected, _ = await hear(await asr.open(), pcm)
    assert guess.text == expected.text
    assert guess.confidence == pytest.approx(expected.confidence, abs=0.01)
    with pytest.raises(EngineError, match="over"):
        await stream.guess()


async def test_utterance_continues_after_guesses(asr: PocketSphinxAsr) -> None:
    pcm = say("Can you show me the way to the lighthouse?") + say("Where can I find the blue lantern?")
    expected, partials = await hear(await asr.open(), pcm)
    for pauses_s in ((0.24, 0.5, 1.2), (1.3, 1.9, 2.4), (3.0, 3.1)):
        stream = await asr.open()
        partial = ""
        for at in range(0, len(pcm), 640):
            partial = await stream.push(pcm[at : at + 640])
            if (at + 640) / 2 / MIC_RATE in pauses_s:
                await stream.guess()
        # The mean with which it goes on is rounded differently: one word may differ.
        recognition = await stream.finish()
        for heard, before in ((partial, partials[-1]), (recognition.text, expected.text)):
            assert word_errors(before.split(), heard.split()) <= 1, pauses_s


async def test_cancelled_guess_does_no_harm(asr: PocketSphinxAsr) -> None:
    pcm = say("Where can I find the blue lantern?")
    expected, _ = await hear(await asr.open(), pcm)
    stream = await asr.open()
    for end in range(24_000, len(pcm), 8_000):
        await stream.push(pcm[end - (24_000 if end == 24_000 else 8_000) : end])
        guess = asyncio.create_task(stream.guess())
        await asyncio.sleep(0)
        guess.cancel()
        last = end
    await stream.push(pcm[last:])
    assert (await stream.finish()).text == expected.text
    stream = await asr.open()
    await stream.push(pcm)
    await stream.guess()
    await stream.abandon()
    assert (await hear(await asr.open(), pcm))[0].text == expected.text


@pytest.mark.parametrize("frames", [20, 40, 80, 81])
async def test_utterance_may_end_at_a_restart_of_the_search(asr: PocketSphinxAsr, frames: int) -> None:
    pcm = say("What do you know about the smugglers?")[: 640 * frames]
    for end in ("abandon", "finish", "guess"):
        stream = await asr.open()
        await stream.push(pcm)
        await getattr(stream, end)()
        await stream.abandon()


async def test_silence_gives_no_words(asr: PocketSphinxAsr) -> None:
    quiet, _ = await hear(await asr.open(), b"")
    assert (quiet.text, quiet.confidence) == ("", 0.0)
    short, _ = await hear(await asr.open(), bytes(640))
    assert short.text == ""
    noise = np.random.default_rng(3).normal(0, 1000, 2 * MIC_RATE).astype("<i2").tobytes()
    for sound in (bytes(2 * MIC_RATE * 2), noise):
        recognition, _ = await hear(await asr.open(), sound)
        assert recognition.text == ""


async def test_odd_byte_is_rejected_and_loses_nothing(asr: PocketSphinxAsr) -> None:
    pcm = say("Have you seen Captain Reed?")
    stream = await asr.open()
    await stream.push(pcm[:20_000])
    with pytest.raises(AudioError, match="2 bytes"):
        await stream.push(b"\x00\x01\x02")
    recognition, _ = await hear(stream, pcm[20_000:])
    assert recognition.text == (await hear(await asr.open(), pcm))[0].text == "have you seen captain reed"


async def test_too_long_utterance_is_rejected(asr: PocketSphinxAsr) -> None:
    stream = await asr.open()
    with pytest.raises(AudioError, match="longer than 60 s"):
        await stream.push(bytes(61 * MIC_RATE * 2))
    await stream.abandon()


async def test_abandoned_then_open_again(asr: PocketSphinxAsr) -> None:
    pcm = say("Who is Orsolo?")
    for _ in range(6):
        stream = await asr.open()
        await stream.push(pcm)
        await stream.abandon()
        await stream.abandon()
    with pytest.raises(EngineError, match="over"):
        await stream.push(pcm)
    with pytest.raises(EngineError, match="over"):
        await stream.finish()
    recognition, _ = await hear(await asr.open(), pcm)
    assert recognition.text == "who is orsolo"


async def test_parallel_streams_do_not_disturb_each_other(asr: PocketSphinxAsr) -> None:
    sounds = [say(question) for question in QUESTIONS[:3]]
    alone = [(await hear(await asr.open(), sound))[0] for sound in sounds]
    together = await asyncio.gather(*[hear(await asr.open(), sound) for sound in sounds])
    assert [recognition.text for recognition, _ in together] == [recognition.text for recognition in alone]


async def test_more_streams_than_recognisers_raise_busy(models: Path) -> None:
    engine = PocketSphinxAsr(cache_dir=models, max_streams=1)
    await engine.start()
    stream = await engine.open()
    with pytest.raises(BusyError):
        await engine.open()
    await stream.abandon()
    await (await engine.open()).finish()
    await engine.stop()


async def test_open_streams_keep_the_words_they_had(asr: PocketSphinxAsr) -> None:
    pcm = say("Who is Orsolo?")
    stream = await asr.open()
    await asr.learn(Vocabulary(people=("Quibbledorf",)))
    assert (await hear(stream, pcm))[0].text == "who is orsolo"
    recognition, _ = await hear(await asr.open(), pcm)
    assert "orsolo" not in recognition.text
    recognition, _ = await hear(await asr.open(), say("Who is Quibbledorf?"))
    assert recognition.text == "who is quibbledorf"


async def test_fifty_utterances_leak_nothing(asr: PocketSphinxAsr) -> None:
    pcm = say("Goodbye, friend.")[:24_000]
    process = psutil.Process(asr.pid)
    for _ in range(5):
        await hear(await asr.open(), pcm, chunk_bytes=6400)
    before = process.memory_info().rss
    for _ in range(50):
        await hear(await asr.open(), pcm, chunk_bytes=6400)
    assert process.memory_info().rss - before < 20e6


async def test_models_are_kept_and_pruned(tmp_path: Path) -> None:
    engine: Asr = PocketSphinxAsr(cache_dir=tmp_path)
    await engine.start()
    first = os.listdir(tmp_path)
    await engine.learn(Vocabulary())
    assert os.listdir(tmp_path) == first
    for number in range(9):
        (tmp_path / f"old{number}").mkdir()
    await engine.learn(Vocabulary(people=("Marla",)))
    assert len(os.listdir(tmp_path)) == 8
    await engine.stop()


async def test_broken_model_error_names_its_directory(models: Path, tmp_path: Path) -> None:
    engine = PocketSphinxAsr(cache_dir=tmp_path)
    await engine.start()
    await engine.stop()
    for name in os.listdir(tmp_path):
        (tmp_path / name / "world.lm").write_text("no model")
    again = PocketSphinxAsr(cache_dir=tmp_path)
    with pytest.raises(ModelError, match=tmp_path.name) as caught:
        await again.start()
    assert "Delete" in caught.value.remedy


async def test_unwritable_directory_raises_model_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    engine = PocketSphinxAsr(cache_dir=tmp_path / "file")
    with pytest.raises(ModelError, match="cannot be written"):
        await engine.start()


def test_missing_package_raises_engine_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(EngineUnavailable, match="pocketsphinx is not installed") as caught:
        Recogniser()
    assert "pip install" in caught.value.remedy


async def test_dead_idle_process_is_replaced(asr: PocketSphinxAsr) -> None:
    for _ in range(2):
        psutil.Process(asr.pid).kill()
        await asyncio.sleep(0.1)
        assert (await hear(await asr.open(), say("Who is Orsolo?")))[0].text == "who is orsolo"
    psutil.Process(asr.pid).kill()
    await asyncio.sleep(0.1)
    await asr.learn(Vocabulary(people=("Quibbledorf",)))
    assert (await hear(await asr.open(), say("Who is Quibbledorf?")))[0].text == "who is quibbledorf"


async def test_cancelled_open_leaves_no_utterance(models: Path) -> None:
    engine = PocketSphinxAsr(cache_dir=models, max_streams=1)
    await engine.start()
    for _ in range(8):
        opening = asyncio.create_task(engine.open())
        await asyncio.sleep(0.001)
        opening.cancel()
        (opened,) = await asyncio.gather(opening, return_exceptions=True)
        if not isinstance(opened, BaseException):
            await opened.abandon()
    process = psutil.Process(engine.pid)
    before = process.memory_info().rss
    for _ in range(4):
        await (await engine.open()).abandon()
    assert process.memory_info().rss - before < 8e6, "a decoder was not given back"
    await engine.stop()


@pytest.mark.skipif(os.name == "nt", reason="there are no signals")
async def test_hung_process_is_killed(asr: PocketSphinxAsr, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mythicd.asr.pocketsphinx.engine.LATE_S", 0.3)
    stream = await asr.open()
    psutil.Process(asr.pid).suspend()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await stream.push(say("Who is Orsolo?"))
    await stream.abandon()
    assert (await hear(await asr.open(), say("Who is Orsolo?")))[0].text == "who is orsolo"


async def test_dead_process_loses_only_its_utterances(asr: PocketSphinxAsr) -> None:
    pcm = say("Who is Orsolo?")
    lost, forgotten = await asr.open(), await asr.open()
    await lost.push(pcm)
    assert asr.pid is not None
    psutil.Process(asr.pid).kill()
    with pytest.raises(EngineError, match="asr-pocketsphinx"):
        await lost.finish()
    again = await asr.open()
    await forgotten.abandon()
    with pytest.raises(EngineError, match="over"):
        await lost.push(pcm)
    assert (await hear(again, pcm))[0].text == "who is orsolo", "the new process has no vocabulary"


async def test_open_before_start_raises_engine_error() -> None:
    with pytest.raises(EngineError, match="not running"):
        await PocketSphinxAsr().open()
