"""espeak-ng, the real library: pronunciation, sound, times, cut-off, and hostile text."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from mythicd.engines.tts import VoiceChunk
from mythicd.errors import EngineUnavailable, ModelError
from mythicd.native import espeakng
from mythicd.native.espeakng import EspeakNg

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def espeak() -> EspeakNg:
    return EspeakNg.load()


def say(espeak: EspeakNg, text: str, voice: str = "en-us", rate: int = 165, pitch: int = 50) -> list[VoiceChunk]:
    return list(espeak.synthesize(text, voice, rate, pitch))


def pcm(chunks: list[VoiceChunk]) -> np.ndarray:
    return np.frombuffer(b"".join(chunk.pcm for chunk in chunks), dtype="<i2")


def sounds(chunks: list[VoiceChunk]) -> list[tuple[str, int]]:
    return [(onset.ipa, onset.stress) for chunk in chunks for onset in chunk.phonemes]


def alike(one: list[VoiceChunk], other: list[VoiceChunk]) -> bool:
    """Same sounds, same length: the samples themselves differ, since the synthesiser's phases run on between texts."""
    lengths = len(pcm(one)), len(pcm(other))
    return sounds(one) == sounds(other) and max(lengths) - min(lengths) < 0.005 * max(lengths)


def words(text: str, chunks: list[VoiceChunk]) -> list[str]:
    return [text[word.start : word.end] for chunk in chunks for word in chunk.words]


def test_it_is_one_library_for_the_whole_process(espeak: EspeakNg) -> None:
    assert EspeakNg.load() is espeak
    assert espeak.sample_rate == 22050
    assert espeak.version[0].isdigit()


# --- pronunciation ---------------------------------------------------------------------------------------------------


def test_phonemes_are_ipa_with_stress_one_group_per_word(espeak: EspeakNg) -> None:
    assert espeak.phonemes("Hello there, friend.") == "həlˈoʊ ðˈɛɹ fɹˈɛnd"
    assert espeak.phonemes("hello", voice="en-gb") == "həlˈəʊ"


@pytest.mark.parametrize("text", ["", "   ", "...", "\0", "\ud800", "\n\n"])
def test_text_without_sound_has_no_phonemes(espeak: EspeakNg, text: str) -> None:
    assert espeak.phonemes(text) == ""


def test_phonemes_carry_no_language_switches(espeak: EspeakNg) -> None:
    assert "(" not in espeak.phonemes("She said 東京 and Москва to me")


def test_an_invented_name_has_a_pronunciation(espeak: EspeakNg) -> None:
    assert espeak.phonemes("Thornwick").startswith("θˈ")


# --- voices ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["en-us", "en-gb", "EN-US", "en-gb-scotland", "en-us+m3", "en-gb+F2", "de"])
def test_known_voices(espeak: EspeakNg, name: str) -> None:
    assert espeak.has_voice(name)


@pytest.mark.parametrize(
    "name", ["", "nope", "en-us+", "en-us+nosuch", "+m3", "../../etc", "en-us\0", "\ud800", "mb-us1"]
)
def test_unknown_voices_are_refused_by_name(espeak: EspeakNg, name: str) -> None:
    assert not espeak.has_voice(name)
    with pytest.raises(ModelError, match="no voice"):
        say(espeak, "hello", voice=name)


def test_an_empty_name_is_refused_in_a_new_process() -> None:
    code = "from mythicd.native.espeakng import EspeakNg; print(EspeakNg.load().has_voice(''))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.strip() == "False", done.stderr


def test_a_refused_voice_keeps_the_current_one(espeak: EspeakNg) -> None:
    before = say(espeak, "hello", "en-gb+f2")
    assert not espeak.has_voice("nope")
    assert alike(say(espeak, "hello", "en-gb+f2"), before)
    assert not alike(say(espeak, "hello", "en-us+f2"), before)


LONG_ENOUGH = "hello, my name is Marla and I am a mariner"


def pitch_of(sound: np.ndarray) -> float:
    """Fundamental frequency in hertz: the median over the louder half of the frames of 60 ms, by autocorrelation.

    One frame alone is an octave or two off in a tenth of all speeches: a formant at 270 Hz may correlate better than
    the voice at 70 Hz, depending on where the oscillators' phases stand. The median over two seconds never was, in
    4,000 speeches of the four voices below, and lay within 4 % of its own mean.
    """
    size = 1323
    frames = [sound[at : at + size].astype(float) for at in range(0, len(sound) - size, size // 2)]
    frames.sort(key=lambda frame: float(frame @ frame))
    shortest, longest = 22050 // 300, 22050 // 60
    correlations = (np.correlate(frame, frame, "full")[size - 1 :] for frame in frames[len(frames) // 2 :])
    return float(np.median([22050 / (shortest + int(np.argmax(c[shortest:longest]))) for c in correlations]))


def test_voices_have_their_pitch(espeak: EspeakNg) -> None:
    high, low = (pitch_of(pcm(say(espeak, LONG_ENOUGH, voice))) for voice in ("en-us+f2", "en-us+m3"))
    assert high > 1.5 * low
    high, low = (pitch_of(pcm(say(espeak, LONG_ENOUGH, pitch=pitch))) for pitch in (80, 20))
    assert high > 1.5 * low


def test_a_higher_rate_is_faster(espeak: EspeakNg) -> None:
    assert len(pcm(say(espeak, "hello there", rate=240))) < len(pcm(say(espeak, "hello there", rate=120)))


def test_voices_and_variants_are_listed(espeak: EspeakNg) -> None:
    assert {"en-us", "en-gb", "de"} <= set(espeak.voices())
    assert {"m3", "f2", "whisper"} <= set(espeak.variants())


# --- speech ----------------------------------------------------------------------------------------------------------


def test_speech_is_audible_and_comes_in_small_chunks(espeak: EspeakNg) -> None:
    chunks = say(espeak, "Mind the blue lantern by the market gate.")
    sound = pcm(chunks)
    assert 1.5 < len(sound) / espeak.sample_rate < 4
    assert 1000 < float(np.sqrt(np.mean(sound.astype(float) ** 2))) < 10000
    assert np.abs(sound).max() < 32767
    assert max(len(chunk.pcm) for chunk in chunks) <= 2 * espeak.sample_rate * 0.061


def test_phonemes_are_in_order_within_the_audio_and_stressed(espeak: EspeakNg) -> None:
    chunks = say(espeak, "Hello there, friend.")
    onsets = [onset for chunk in chunks for onset in chunk.phonemes]
    assert all(a.sample <= b.sample for a, b in pairwise(onsets))
    assert onsets[-1].sample <= len(pcm(chunks))
    assert [onset.ipa for onset in onsets[:4]] == ["h", "ə", "l", "oʊ"]
    assert [onset.stress for onset in onsets[:4]] == [0, 0, 0, 1]
    assert onsets[-1].ipa == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello there, friend.", ["Hello", "there,", "friend."]),
        ("It costs 3.5 at 21:10.", ["It", "costs", "3.5", "at", "21:10."]),
        ("  Ünïcode — “quoted” word", ["Ünïcode", "“quoted”", "word"]),
        ("𝄞 a 😀 word", ["a", "😀", "word"]),
        ("a\0b \ud800 word", ["a\0b", "word"]),
    ],
)
def test_words_are_separated_by_blanks(espeak: EspeakNg, text: str, expected: list[str]) -> None:
    assert words(text, say(espeak, text)) == expected


def test_a_word_begins_where_its_sound_does(espeak: EspeakNg) -> None:
    chunks = say(espeak, "Quiet, lantern.")
    onsets = {w.start: w.sample for chunk in chunks for w in chunk.words}
    sounds = {o.sample: o.ipa for chunk in chunks for o in chunk.phonemes}
    first_l = next(sample for sample, ipa in sounds.items() if ipa == "l")
    assert abs(onsets[7] - first_l) < 0.04 * espeak.sample_rate


@pytest.mark.parametrize("text", ["", "   ", "...", "\0\0", "\ud800"])
def test_text_without_sound_is_a_short_silence(espeak: EspeakNg, text: str) -> None:
    for voice in ("en-gb+f2", "en-us+m3", "de"):
        say(espeak, "hello, there", voice)  # how long the silence is depends on what was said before: 8 or 60 ms
        chunks = say(espeak, text)
        assert len(pcm(chunks)) < 0.061 * espeak.sample_rate
        assert not pcm(chunks).any()
        assert words(text, chunks) == []


def test_markup_and_commands_are_only_text(espeak: EspeakNg) -> None:
    plain = say(espeak, "five 50 word")
    assert alike(say(espeak, "five\x0150 word"), plain), "SOH is a command to espeak-ng"
    assert alike(say(espeak, "five\00050 word"), plain), "NUL ends a C string"
    assert words("a <break time='9s'/> b", say(espeak, "a <break time='9s'/> b"))[0] == "a"
    assert len(pcm(say(espeak, "a <break time='9s'/> b"))) < 6 * espeak.sample_rate, "SSML is not obeyed"


def test_5000_characters(espeak: EspeakNg) -> None:
    text = ("The guard patrols pass every five minutes. " * 120)[:5000]
    chunks = say(espeak, text)
    spoken = [word for chunk in chunks for word in chunk.words]
    assert len(pcm(chunks)) > 120 * espeak.sample_rate
    assert spoken[-1].start > 4950
    assert all(a.sample <= b.sample and a.end <= b.start for a, b in pairwise(spoken))


def test_closing_cuts_the_voice_off_at_once(espeak: EspeakNg) -> None:
    say(espeak, "warm")
    speech = espeak.synthesize("This long sentence is cut off early. " * 100, "en-us")
    assert isinstance(speech, Iterator)
    next(speech)
    begun = time.perf_counter()
    speech.close()  # type: ignore[attr-defined]
    assert time.perf_counter() - begun < 0.1  # 0.1 ms on a quiet core; all of it would take 0.3 s
    assert words("still here", say(espeak, "still here")) == ["still", "here"]


def test_a_sink_that_returns_false_gets_no_more(espeak: EspeakNg) -> None:
    heard: list[VoiceChunk] = []

    def sink(chunk: VoiceChunk) -> bool:
        heard.append(chunk)
        return len(heard) < 3

    espeak.speak("This sentence is cut off early.", "en-us", 165, 50, sink)
    assert len(heard) == 3


def test_speech_that_was_cut_off_leaves_no_letter_in_the_reader(espeak: EspeakNg) -> None:
    """The library's reader is a letter ahead: "w" would stand in front, as "dˈʌbəljˌuː"."""

    def broken(_: VoiceChunk) -> bool:
        raise ValueError

    for voice in ("en-us", "de"):
        expected, cat = espeak.phonemes("cat", voice), sounds(say(espeak, "cat", voice))
        espeak.speak("Hello, world and more.", voice, 165, 50, lambda _: False)
        assert espeak.phonemes("cat", voice) == expected
        with pytest.raises(ValueError):
            espeak.speak("Hello, world and more.", voice, 165, 50, broken)
        assert espeak.phonemes("cat", voice) == expected
        espeak.speak("Hello, world and more.", voice, 165, 50, lambda _: False)
        assert sounds(say(espeak, "cat", voice)) == cat


def test_an_error_of_the_sink_is_raised(espeak: EspeakNg) -> None:
    def sink(chunk: VoiceChunk) -> bool:
        raise LookupError("no more room")

    with pytest.raises(LookupError, match="no more room"):
        espeak.speak("hello", "en-us", 165, 50, sink)
    assert words("fine again", say(espeak, "fine again")) == ["fine", "again"]


def test_concurrent_threads_get_their_own_words(espeak: EspeakNg) -> None:
    texts = [f"{word} is my word" for word in ("lantern", "market", "harbour", "tavern")]
    alone = {text: say(espeak, text, f"en-us+m{n + 1}") for n, text in enumerate(texts)}
    together: dict[str, list[list[VoiceChunk]]] = {text: [] for text in texts}

    def run(n: int, text: str) -> None:
        for _ in range(5):
            together[text].append(say(espeak, text, f"en-us+m{n + 1}"))
            espeak.phonemes(text)

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(texts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for text in texts:
        assert len(together[text]) == 5
        assert all(alike(chunks, alone[text]) for chunks in together[text])


# --- failure ---------------------------------------------------------------------------------------------------------


def test_without_a_library_the_remedy_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    monkeypatch.setattr(espeakng, "_SYSTEM_LIBRARIES", ("libthere-is-none.so",))
    monkeypatch.setattr(EspeakNg, "_loaded", None)
    with pytest.raises(EngineUnavailable, match="espeakng-loader") as caught:
        EspeakNg.load()
    assert "pip install espeakng-loader" in caught.value.remedy


def test_a_wrong_data_directory_does_not_end_the_process() -> None:
    code = (
        "import ctypes, espeakng_loader\n"
        "from mythicd.errors import EngineUnavailable\n"
        "from mythicd.native.espeakng import EspeakNg\n"
        "try:\n"
        "    EspeakNg(ctypes.CDLL(espeakng_loader.get_library_path()), '/no/such/place')\n"
        "except EngineUnavailable as error:\n"
        "    print('said:', error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "said:" in done.stdout and "/no/such/place" in done.stdout


def test_the_event_struct_has_the_layout_of_c() -> None:
    # Six ints, a pointer, and a union of 8 bytes.
    assert ctypes.sizeof(espeakng._Event) == 6 * 4 + ctypes.sizeof(ctypes.c_void_p) + 8
