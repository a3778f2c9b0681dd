"""The Piper engine: its own loading and synthesis code, on a real voice and on small ones that the test makes."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from tiny_piper_voice import RATE, real_voice, write_voice

from mythicd.config.world_files import load_world
from mythicd.engines.tts import PiperVoice, VoiceChunk, VoiceSpec
from mythicd.errors import ConfigError, EngineError, EngineUnavailable, ModelError
from mythicd.tts.espeak import EspeakTts
from mythicd.tts.language_fallback import LanguageFallback
from mythicd.tts.phrase_buffer import Phrase
from mythicd.tts.piper.engine import BEGIN_S, PiperTts
from mythicd.tts.piper.options import PiperOptions
from mythicd.tts.piper.pieces import FIRST_FRAMES, MOST_FRAMES
from mythicd.tts.piper.voice import LoadedVoice
from mythicd.tts.speakable_text import spoken
from mythicd.tts.speech_queue import SpeechQueue

pytestmark = pytest.mark.engine

WORLD = Path(__file__).parents[2] / "worlds" / "lanternport"
JOE = "en_US-joe-medium"
LONG = "I have been the harbor master here for thirty years, and I have never seen such a storm."


def named(model: str, **voice: float | str) -> VoiceSpec:
    return VoiceSpec("marla", "en-us", piper=PiperVoice(model, **voice))  # type: ignore[arg-type]


TINY = named("tiny")


def engine(folder: Path, *pool: str, rate: int = RATE, **options: int | str) -> PiperTts:
    """Return an engine that finds its voices in a folder."""

    def find(name: str) -> Path:
        if not name:
            raise ModelError("There is no voice ''.", remedy="Name one.")
        return folder / f"{name}.onnx"

    return PiperTts(find, pool, PiperOptions(**options), rate)  # type: ignore[arg-type]


async def say(
    tts: PiperTts | LanguageFallback, text: str, voice: VoiceSpec = TINY, lead_s: Callable[[], float] | None = None
) -> list[VoiceChunk]:
    return [chunk async for chunk in tts.speak(text, voice, lead_s)]


def audio(chunks: list[VoiceChunk]) -> np.ndarray:
    return np.frombuffer(b"".join(chunk.pcm for chunk in chunks), "<i2").astype(np.float64)


def hertz(samples: np.ndarray, rate: int) -> float:
    """Return the median pitch of the voiced frames, by autocorrelation."""
    found = []
    for start in range(0, len(samples) - 2048, 1024):
        frame = samples[start : start + 2048] - samples[start : start + 2048].mean()
        if np.abs(frame).max() < 0.2 * np.abs(samples).max():
            continue
        spectrum = np.abs(np.fft.rfft(frame, 4096)) ** 2
        lags = np.fft.irfft(spectrum)[: rate // 60]
        shortest = rate // 400
        best = shortest + int(np.argmax(lags[shortest:]))
        if lags[best] > 0.5 * lags[0]:
            found.append(rate / best)
    return float(np.median(found))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_voice(tmp_path / "tiny.onnx", "seam")
    return tmp_path


@pytest.fixture
async def tts(folder: Path) -> AsyncIterator[PiperTts]:
    made = engine(folder, workers=1)
    await made.start()
    await made.prepare(TINY)
    yield made
    await made.stop()


@pytest.fixture
def quiet_joe(folder: Path) -> Path:
    """A folder with the real voice without noise, so that every test hears the same."""
    (folder / f"{JOE}.onnx").symlink_to(real_voice())
    config = json.loads(Path(f"{real_voice()}.json").read_text(encoding="utf-8"))
    config["inference"] = {"noise_scale": 0.0, "length_scale": 1, "noise_w": 0.0}
    (folder / f"{JOE}.onnx.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


@pytest.fixture
async def joe(quiet_joe: Path) -> AsyncIterator[PiperTts]:
    made = engine(quiet_joe, JOE, workers=1, rate=24_000)
    await made.start()
    yield made
    await made.stop()


# --- what is said -----------------------------------------------------------------------------------------------------


async def test_a_long_sentence_comes_in_growing_pieces(joe: PiperTts) -> None:
    chunks = await say(joe, LONG, named(JOE))
    lengths = [len(chunk.pcm) // 2 / 24_000 for chunk in chunks]
    assert len(lengths) >= 5
    assert 0.1 < lengths[0] <= FIRST_FRAMES * 256 / RATE
    assert max(lengths) < (MOST_FRAMES + FIRST_FRAMES) * 256 / RATE + 0.05


async def test_sounds_and_words_lie_in_the_audio(tts: PiperTts) -> None:
    text = "Hello there, friend. Mind the blue lantern."
    chunks = await say(tts, text)
    total = len(audio(chunks))
    onsets = [onset for chunk in chunks for onset in chunk.phonemes]
    assert all(a.sample <= b.sample for a, b in pairwise(onsets))
    assert 0 <= onsets[0].sample and onsets[-1].sample < total
    assert [onset.ipa for onset in onsets[:6]] == ["", "h", "ə", "l", "o", "ʊ"]
    assert any(onset.stress == 1 for onset in onsets)
    words = [word for chunk in chunks for word in chunk.words]
    assert [text[word.start : word.end] for word in words] == text.split()
    assert words[-1].sample < total
    second = next(word for word in words if text[word.start : word.end] == "Mind")
    silence = next(onset for onset in reversed(onsets) if onset.sample <= second.sample and not onset.ipa)
    assert second.sample - silence.sample < 0.1 * RATE


@pytest.mark.parametrize(
    "text",
    ["It costs 3.5 gold at noon", "the end of the day in the night", "twenty 21 — 22 … and so", "a well-known man"],
)
async def test_numbers_and_merged_words_keep_their_places(tts: PiperTts, text: str) -> None:
    words = [word for chunk in await say(tts, text) for word in chunk.words]
    assert all(a.sample <= b.sample and a.end <= b.start for a, b in pairwise(words))
    assert len(words) >= len(text.split()) - 3
    assert all(text[word.start : word.end] in text.split() for word in words)


async def test_another_rate_moves_the_times(folder: Path) -> None:
    plain = {"inference": {"noise_scale": 0.0, "length_scale": 1, "noise_w": 0.0}}
    write_voice(folder / "tiny.onnx", "seam", **plain)
    found = []
    for rate in (RATE, 48_000):
        tts = engine(folder, rate=rate)
        await tts.start()
        found.append(await say(tts, "Hello there, my old friend."))
        await tts.stop()
    one, other = found
    assert len(audio(one)) / RATE == pytest.approx(len(audio(other)) / 48_000, abs=0.001)
    ones, others = ([onset for chunk in chunks for onset in chunk.phonemes] for chunks in (one, other))
    for a, b in zip(ones, others, strict=True):
        assert a.sample / RATE == pytest.approx(b.sample / 48_000, abs=0.001)


async def test_it_feeds_the_queue(tts: PiperTts) -> None:
    queue = SpeechQueue(tts.sample_rate)
    queue.begin(Phrase("Hello there.", 0), spoken("Hello there."))
    for chunk in await say(tts, "Hello there."):
        queue.add(chunk)
    queue.end()
    frames = queue.take(0)
    assert frames and frames[0].visemes
    shown = 0
    for frame in frames:
        for event in frame.visemes:
            assert event.start == shown
            shown = event.end
    assert shown == frames[-1].end
    assert queue.heard(frames[-1].end) == 12


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "...",
            "?!,;: — …",
            "\0",
            "\ud800",
            "[[h@l'oU]]",
            "🙂🎉",
            "<b>Hi</b> **you** {x} `y`",
            "12345 67890 3.14",
        ),
        *("Привет, мир", "你好，世界。", "مرحبا", "a" * 5000, "xkcd" * 1250, "h̷̗̀e̴l̵l̶o̷" * 30, "one\ntwo\r\n\tthree"),
    ],
)
async def test_odd_text_is_safe(tts: PiperTts, text: str) -> None:
    assert len(audio(await say(tts, text))) < 30 * RATE, "no minutes of noise"


async def test_punctuation_alone_makes_no_sound(tts: PiperTts) -> None:
    for text in ("", "...", "?!", "\0"):
        assert not audio(await say(tts, text)).size


# --- rate, pitch, and who speaks --------------------------------------------------------------------------------------


async def test_rate_changes_the_duration(joe: PiperTts) -> None:
    plain, slow, fast = [len(audio(await say(joe, LONG, named(JOE, rate=rate)))) for rate in (1.0, 0.8, 1.25)]
    assert slow / plain == pytest.approx(1.25, rel=0.03)
    assert plain / fast == pytest.approx(1.25, rel=0.03)


@pytest.mark.parametrize("semitones", [-4.0, 4.0])
async def test_pitch_moves_the_voice_and_not_its_times(joe: PiperTts, semitones: float) -> None:
    plain, moved = [await say(joe, LONG, named(JOE, pitch=pitch)) for pitch in (0.0, semitones)]
    assert len(audio(moved)) == pytest.approx(len(audio(plain)), rel=0.03)
    ratio = hertz(audio(moved), 24_000) / hertz(audio(plain), 24_000)
    assert 12 * np.log2(ratio) == pytest.approx(semitones, abs=0.4)
    for chunks in (plain, moved):
        words = [word for chunk in chunks for word in chunk.words]
        # espeak-ng reads "have been" as one word, which begins with "have".
        assert [LONG[word.start : word.end] for word in words] == [word for word in LONG.split() if word != "been"]
        assert 0.75 * len(audio(chunks)) < words[-1].sample < len(audio(chunks))
    times = [[word.sample / len(audio(chunks)) for c in chunks for word in c.words] for chunks in (plain, moved)]
    assert np.abs(np.subtract(*times)).max() < 0.06


async def test_resampled_pieces_join_without_a_gap(joe: PiperTts) -> None:
    chunks = await say(joe, LONG, named(JOE, pitch=3.0))
    samples = audio(chunks)
    bends = np.abs(np.diff(samples, 2))
    joins = np.cumsum([len(chunk.pcm) // 2 for chunk in chunks])[:-1]
    for join in joins:
        near = bends[max(0, join - 240) : join + 240]
        assert bends[join - 2 : join + 2].max() <= 2 * max(100.0, float(near.max()))
        assert np.abs(samples[join - 24 : join + 24]).any() or np.abs(samples[join - 480 : join + 480]).max() < 700


@pytest.mark.parametrize("is_named", [True, False])
async def test_six_characters_of_one_voice_are_six_people(joe: PiperTts, is_named: bool) -> None:
    found = []
    for voice in load_world(WORLD).voices.values():
        samples = audio(await say(joe, LONG, voice if is_named else replace(voice, piper=None)))
        found.append((voice.voice_id, 12 * np.log2(hertz(samples, 24_000)), len(samples) / 24_000))
    for (one, pitch, seconds), (other, other_pitch, other_seconds) in combinations(found, 2):
        apart = abs(pitch - other_pitch) / 1.0 + abs(np.log(seconds / other_seconds)) / 0.1
        assert apart > 1, f"{one} and {other} sound alike"


async def test_a_voice_without_a_model_gets_one_of_the_pool(folder: Path) -> None:
    tts = engine(folder, "en_GB-tiny", "de_DE-tiny")
    for name in ("en_GB-tiny", "de_DE-tiny"):
        write_voice(folder / f"{name}.onnx", "seam", espeak={"voice": name[:2]})
    await tts.start()
    german = VoiceSpec("hans", "de+m3")
    assert tts.language(german) == "de" and tts.language(VoiceSpec("x", "en-us")) == "en"
    assert audio(await say(tts, "Guten Tag.", german)).size
    with pytest.raises(ModelError, match=r"'luc'.*language 'fr'.*en_GB-tiny, de_DE-tiny.*voices\.yaml"):
        await tts.prepare(VoiceSpec("luc", "fr-fr"))
    await tts.stop()


async def test_the_language_is_that_of_the_loaded_model(folder: Path) -> None:
    write_voice(folder / "mine.onnx", "seam", espeak={"voice": "de"})
    tts = engine(folder)
    await tts.start()
    await tts.prepare(named("mine"))
    assert tts.language(named("mine")) == "de" and tts.language(named(JOE)) == "en"
    await tts.stop()


async def test_a_language_without_a_voice_is_spoken_by_espeak(folder: Path) -> None:
    write_voice(folder / "en_GB-tiny.onnx", "seam")
    tts = LanguageFallback(engine(folder, "en_GB-tiny"), EspeakTts(RATE))
    await tts.start()
    french = VoiceSpec("luc", "fr-fr")
    await tts.prepare(french)
    assert tts.language(french) == "fr"
    assert audio(await say(tts, "Bonjour.", french)).size
    assert [notice for notice in tts.notices if "'luc' is spoken by espeak-ng" in notice]
    await tts.stop()


# --- several at once --------------------------------------------------------------------------------------------------


def count_pieces(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets the first frame of each piece when it is computed."""
    computed: list[int] = []
    samples = LoadedVoice.samples

    def counted(self: LoadedVoice, utterance: object, piece: object, speaker: int) -> object:
        computed.append(piece.start)  # type: ignore[attr-defined]
        return samples(self, utterance, piece, speaker)  # type: ignore[arg-type]

    monkeypatch.setattr(LoadedVoice, "samples", counted)
    return computed


async def test_closing_ends_it_within_one_piece(tts: PiperTts, monkeypatch: pytest.MonkeyPatch) -> None:
    computed = count_pieces(monkeypatch)
    speech = tts.speak("One sentence. " * 50, TINY)
    await anext(speech)
    await speech.aclose()
    assert len(computed) == 1
    assert audio(await say(tts, "Still here.")).size


async def test_cancelling_ends_it_within_one_piece(tts: PiperTts, monkeypatch: pytest.MonkeyPatch) -> None:
    computed = count_pieces(monkeypatch)
    is_under_way = asyncio.Event()

    async def listen() -> None:
        async with aclosing(tts.speak("One sentence. " * 50, TINY)) as chunks:
            async for _ in chunks:
                is_under_way.set()

    task = asyncio.create_task(listen())
    await is_under_way.wait()
    task.cancel()
    before = len(computed)
    await asyncio.gather(task, return_exceptions=True)
    await tts._started().run(None, lambda: None)  # the only worker is free again
    assert len(computed) <= before + 1, "the piece under way"
    assert audio(await say(tts, "Still here.")).size


async def test_the_listener_with_the_least_sound_goes_first(tts: PiperTts) -> None:
    leads, done = {"a": 3.0, "b": 2.0, "c": 1.0}, []

    async def listen(name: str) -> None:
        await say(tts, LONG, TINY, lambda: leads[name])
        done.append(name)

    async with asyncio.TaskGroup() as tasks:
        for name in leads:
            tasks.create_task(listen(name))
    assert done == ["c", "b", "a"]


async def test_a_voice_that_has_begun_goes_before_a_new_one(tts: PiperTts) -> None:
    heard: list[str] = []

    async def listen(name: str, begin: asyncio.Event | None = None) -> None:
        async for _ in tts.speak(LONG, TINY, lambda: BEGIN_S / 3 if name in heard else 0.0):
            heard.append(name)
            if begin is not None:
                begin.set()

    begin = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(listen("a", begin))
        await begin.wait()
        tasks.create_task(listen("b"))
        tasks.create_task(listen("c"))
    # While it has little sound left it gets every piece but those that were asked for in between.
    assert heard.index("b") >= 3 and heard.index("c") > heard.index("b")


async def test_several_workers_keep_phrases_apart(folder: Path) -> None:
    write_voice(folder / "tiny.onnx", "seam", inference={"noise_scale": 0.0, "length_scale": 1, "noise_w": 0.0})
    tts = engine(folder, workers=3)
    await tts.start()
    texts = [f"{number} lanterns hang over the harbor tonight, and no ship is due." for number in range(2, 10)]
    alone = [audio(await say(tts, text)) for text in texts]
    together = await asyncio.gather(*(say(tts, text) for text in texts))
    for one, other in zip(alone, together, strict=True):
        assert np.array_equal(one, audio(other))
    await tts.stop()


# --- the cache --------------------------------------------------------------------------------------------------------


async def test_a_short_phrase_is_computed_once(tts: PiperTts, monkeypatch: pytest.MonkeyPatch) -> None:
    computed = count_pieces(monkeypatch)
    first = await say(tts, "Good evening.")
    count = len(computed)
    assert await say(tts, "Good evening.") == first
    assert (len(computed), tts.cache.hits) == (count, 1)
    assert await say(tts, "Good evening.", named("tiny", pitch=2.0)) != first
    await say(tts, LONG)
    await say(tts, LONG)
    assert tts.cache.hits == 1, "long phrases are not kept"


async def test_a_phrase_that_was_cut_off_is_not_kept(tts: PiperTts) -> None:
    speech = tts.speak("Good evening, you all.", TINY)
    first = await anext(speech)
    await speech.aclose()
    assert len(audio(await say(tts, "Good evening, you all."))) > len(first.pcm) // 2
    assert tts.cache.hits == 0


async def test_the_cache_is_bounded_in_bytes(folder: Path) -> None:
    tts = engine(folder, cache_bytes=150_000)
    await tts.start()
    for number in (1, 2, 3, 1, 4, 5, 1):
        await say(tts, f"{number} ships.")
        assert 0 < tts.cache.bytes <= 150_000
    assert tts.cache.hits == 2, "the least recently used one is dropped"
    await say(tts, "...")
    await say(tts, "...")
    assert tts.cache.hits == 2, "silence costs no bytes, so it would never be dropped"
    none = engine(folder, cache_bytes=0)
    await none.start()
    await say(none, "Good evening.")
    await say(none, "Good evening.")
    assert (none.cache.hits, none.cache.bytes) == (0, 0)
    await none.stop()
    await tts.stop()


# --- what can go wrong ------------------------------------------------------------------------------------------------


async def test_without_piper_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setitem(sys.modules, "piper.voice", None)
    with pytest.raises(EngineUnavailable, match=r"mythicd\[piper\]"):
        await engine(folder).start()


async def test_it_must_be_started(folder: Path) -> None:
    with pytest.raises(EngineError, match="start"):
        await engine(folder).prepare(TINY)
    with pytest.raises(EngineError, match="start"):
        await say(engine(folder), "Hello.")


async def test_a_missing_voice_is_tried_again(tts: PiperTts, folder: Path) -> None:
    with pytest.raises(ModelError, match=r"no file .*none\.onnx"):
        await tts.prepare(named("none"))
    with pytest.raises(ModelError, match="no voice ''"):
        await tts.prepare(named(""))
    write_voice(folder / "none.onnx", "seam")
    await tts.prepare(named("none"))
    assert audio(await say(tts, "Still here.")).size


async def test_an_unknown_speaker_is_told_when_prepared(tts: PiperTts, folder: Path) -> None:
    write_voice(folder / "two.onnx", "seam", speakers=("anna", "bob"))
    await tts.prepare(named("two", speaker="bob"))
    with pytest.raises(ModelError, match="two has no speaker 'karl'.*anna, bob"):
        await tts.prepare(named("two", speaker="karl"))


@pytest.mark.parametrize(("key", "value"), [("rate", 0.1), ("rate", 9.0), ("pitch", -13.0), ("pitch", 40.0)])
async def test_rate_and_pitch_have_bounds(tts: PiperTts, key: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"'marla'.*{key} {value:g} .* outside"):
        await tts.prepare(named("tiny", **{key: value}))


async def test_a_failure_in_the_network_is_an_engine_error(tts: PiperTts, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = await tts._loaded("tiny")
    stage = loaded.decoder.stages[-1]

    class Failing:
        def run(self, outputs: None, given: object) -> list[object]:
            raise RuntimeError("Failed to allocate memory for requested buffer")

    with monkeypatch.context() as patched:
        patched.setattr(stage, "session", Failing())
        with pytest.raises(EngineError, match="allocate memory.*close programs"):
            await say(tts, "Hello there.")
    assert audio(await say(tts, "Still here.")).size


async def test_voices_that_cannot_be_cut_are_noticed(folder: Path) -> None:
    write_voice(folder / "whole.onnx", "tone")
    tts = engine(folder, "whole")
    await tts.start()
    assert [notice for notice in tts.notices if "voice whole begins to sound when its whole sentence" in notice]
    assert len(await say(tts, LONG, named("whole"))) == 1
    await tts.stop()


async def test_the_least_recently_used_voice_is_unloaded(folder: Path) -> None:
    for name in "abc":
        write_voice(folder / f"{name}.onnx", "seam")
    tts = engine(folder, most_voices=2)
    await tts.start()
    for name in "abacb":
        await tts.prepare(named(name))
        assert len(tts._voices) <= 2
    assert list(tts._voices) == ["c", "b"]
    await tts.stop()


async def test_a_broken_pool_voice_stops_the_start(folder: Path) -> None:
    tts = engine(folder, "tiny", "missing")
    with pytest.raises(ModelError, match=r"missing\.onnx"):
        await tts.start()
    with pytest.raises(EngineError, match="start"):
        await tts.prepare(TINY)


async def test_cuda_is_refused_where_there_is_none(folder: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in runtime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    tts = engine(folder, device="cuda")
    await tts.start()
    with pytest.raises(EngineUnavailable, match="onnxruntime-gpu"):
        await tts.prepare(TINY)
    await tts.stop()
    auto = engine(folder, device="auto")
    await auto.start()
    await auto.prepare(TINY)
    await auto.stop()


@pytest.mark.parametrize(
    "options", [{"workers": 0}, {"workers": 17}, {"threads": 0}, {"most_voices": 0}, {"cache_bytes": -1}]
)
def test_options_out_of_range_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="Set|Raise"):
        PiperOptions(**options)  # type: ignore[arg-type]


async def test_stopping_in_mid_sentence_leaves_nothing(folder: Path) -> None:
    tts = engine(folder, workers=1)
    await tts.start()
    speech = tts.speak(LONG, TINY)
    await anext(speech)
    await tts.stop()
    with pytest.raises(EngineError):
        async for _ in speech:
            pass
    await tts.start()
    assert audio(await say(tts, "Here again.")).size
    await tts.stop()
