"""Mouth shapes from speech sounds: exact cover of the audio, closed at the end, every English sound known."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mythicd.engines.tts import PhonemeOnset
from mythicd.native.espeakng import EspeakNg
from mythicd.tts import visemes
from mythicd.tts.visemes import LONG, PRIMARY, SECONDARY, VisemeTrack
from mythicd.wire.frames import OVR15
from mythicd.wire.messages import VisemeEvent

RATE = 22050
MS = RATE / 1000


def track(onsets: list[tuple[float, str]], total_ms: float, stress: int = 0) -> list[VisemeEvent]:
    viseme = VisemeTrack(RATE)
    events = viseme.add([PhonemeOnset(round(at * MS), ipa, stress) for at, ipa in onsets], 0)
    return events + viseme.finish(round(total_ms * MS))


def names(events: list[VisemeEvent]) -> list[str]:
    return [OVR15[event.code] for event in events]


def check_cover(events: list[VisemeEvent], total: int) -> None:
    at = 0
    for event in events:
        assert event.start == at
        assert event.duration >= 1
        assert 0 <= event.code <= 14
        assert 0 <= event.weight <= 255
        at = event.end
    assert at == total
    assert not events or names(events)[-1] == "sil"


def test_the_order_is_that_of_the_reference() -> None:
    assert " ".join(OVR15) == "sil PP FF TH DD kk CH SS nn RR aa E ih oh ou"


@pytest.mark.parametrize(
    ("ipa", "expected"),
    [
        ("", "sil"), ("p", "PP"), ("b", "PP"), ("m", "PP"), ("f", "FF"), ("v", "FF"), ("θ", "TH"), ("ð", "TH"),
        ("t", "DD"), ("d", "DD"), ("ɾ", "DD"), ("k", "kk"), ("ɡ", "kk"), ("g", "kk"), ("ŋ", "kk"), ("x", "kk"),
        ("ʃ", "CH"), ("ʒ", "CH"), ("tʃ", "DD CH"), ("dʒ", "DD CH"), ("s", "SS"), ("z", "SS"), ("n", "nn"), ("l", "nn"),
        ("ɬ", "SS"), ("ɹ", "RR"), ("ɚ", "RR"), ("ɑː", "aa"), ("æ", "aa"), ("ʌ", "aa"), ("ɛ", "E"), ("ə", "E"),
        ("ɪ", "ih"), ("iː", "ih"), ("j", "ih"), ("ɔː", "oh"), ("ɒ", "oh"), ("uː", "ou"), ("ʊ", "ou"), ("w", "ou"),
        ("aɪ", "aa ih"), ("eɪ", "E ih"), ("ɔɪ", "oh ih"), ("aʊ", "aa ou"), ("oʊ", "oh ou"), ("əʊ", "E ou"),
        ("ɔːɹ", "oh RR"), ("aɪɚ", "aa ih RR"), ("n̩", "nn"), ("t̪", "DD"), ("ɑ̃", "aa"), ("əl", "E nn"), ("ç", "CH"),
    ],
)  # fmt: skip
def test_sounds_and_their_shapes(ipa: str, expected: str) -> None:
    shown = names(track([(0, ipa)], 200))
    if shown[-1] == "sil" and expected != "sil":
        shown = shown[:-1]  # the mouth closes at the end
    assert " ".join(shown) == expected


def test_every_sound_that_espeak_makes_in_english_is_known() -> None:
    espeak = EspeakNg.load()
    pangrams = (
        "The quick brown fox jumps over the lazy dog. Measure the azure vision; charge the judge with church noise. "
        "Poor royal players fire for an hour. Bottle, button, little rhythm. Thin this bath, bathe. Uh-oh! Loch, Bach. "
        "Boys enjoy the cow town house. Hello, idea, cure, square, near, nurse, goose, thought, strut, foot, lot, kit."
    )
    heard: set[str] = set()
    for voice in ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-029"):
        for chunk in espeak.synthesize(pangrams, voice):
            heard |= {onset.ipa for onset in chunk.phonemes}
    letters = {letter for ipa in heard for letter in ipa if unicodedata.category(letter) in ("Ll", "Lo")}
    assert len(heard) > 50
    assert letters - set(visemes._CODE_OF) <= set("hɦʔ")


def test_any_other_ipa_letter_has_a_shape() -> None:
    for letter in "ʈɖɲɴʀⱱɸβʂʐçʝɣχʁħʕɦɮʋɻɰʎʟɓɗʄɠʛʘǀǃǂǁʍɥʜʢʡɕʑɺɧyɨʉɯøɘɵɤœɞʌɜɐɶɒ":
        [event, *_] = track([(0, letter), (100, "")], 300)
        assert event.duration > 0
        assert event.weight > 0


def test_diphthongs_share_their_time() -> None:
    first, second, closed = track([(0, "aɪ"), (200, "")], 400)
    assert first.duration == pytest.approx(second.duration, abs=1)
    assert (closed.start, closed.end) == (round(200 * MS), round(400 * MS))


def test_stress_makes_it_wider_and_is_told() -> None:
    weights = [track([(0, "ɛ")], 300, stress)[0] for stress in (0, 2, 1)]
    assert [event.flags for event in weights] == [0, SECONDARY, PRIMARY]
    assert weights[0].weight < weights[1].weight < weights[2].weight == 255
    assert track([(0, "iː")], 300)[0].flags == LONG
    assert track([(0, "ə")], 300)[0].weight < weights[0].weight


def test_equal_neighbours_become_one() -> None:
    assert names(track([(0, "t"), (50, "d"), (100, "ɛ"), (200, "")], 300)) == ["DD", "E", "sil"]


def test_breath_takes_the_shape_of_what_follows() -> None:
    [event, _] = track([(0, "h"), (80, "oː")], 300)
    assert (OVR15[event.code], event.start) == ("oh", 0)


def test_a_stop_closure_is_no_closed_mouth_but_a_pause_is() -> None:
    assert names(track([(0, "ɛ"), (100, ""), (125, "ɪ"), (250, "")], 400)) == ["E", "ih", "sil"]
    assert names(track([(0, "ɛ"), (100, ""), (180, "ɪ"), (250, "")], 400)) == ["E", "sil", "ih", "sil"]


def test_an_event_comes_when_its_end_is_known() -> None:
    viseme = VisemeTrack(RATE)
    assert viseme.add([PhonemeOnset(0, "p")], 1000) == []
    [event] = viseme.add([PhonemeOnset(1500, "ɛ")], 2000)
    assert (event.start, event.end, viseme.known_until) == (0, 1500, 1500)
    assert viseme.add([PhonemeOnset(4000, "")], 4000) == [], "a short silence would belong to it"


def test_an_engine_without_timings_does_not_hold_audio_back() -> None:
    viseme = VisemeTrack(RATE)
    events, total = [], 0
    for _ in range(20):
        total += RATE // 10
        events += viseme.add([], total)
        assert total - viseme.known_until <= 0.4 * RATE
    check_cover(events + viseme.finish(total), total)


def test_no_audio_no_events() -> None:
    assert VisemeTrack(RATE).finish(0) == []


@pytest.mark.parametrize("voice", ["en-us", "en-gb+f2", "en-us+m3"])
def test_real_speech_is_covered_exactly(voice: str) -> None:
    viseme, events, total = VisemeTrack(RATE), list[VisemeEvent](), 0
    for chunk in EspeakNg.load().synthesize(
        "Charge the boat, friend! Mind the blue lantern by the market gate.", voice
    ):
        total += len(chunk.pcm) // 2
        events += viseme.add(chunk.phonemes, total)
    events += viseme.finish(total)
    check_cover(events, total)
    assert all(a.code != b.code for a, b in pairwise(events) if a.duration < 0.2 * RATE)
    assert len(set(names(events))) >= 13


ONSET = st.builds(
    PhonemeOnset,
    st.integers(0, 40_000),
    st.one_of(st.sampled_from(["", "h", "p", "aɪ", "tʃ", "ɔːɹ", "ə", "ː", "ʔ", "n̩", "\u0329"]), st.text(max_size=3)),
    st.integers(0, 2),
)


@settings(deadline=None)
@given(st.lists(st.tuples(st.lists(ONSET, max_size=5), st.integers(0, 9000)), max_size=15))
def test_any_onsets_give_a_gapless_cover(chunks: list[tuple[list[PhonemeOnset], int]]) -> None:
    viseme, events, total = VisemeTrack(RATE), list[VisemeEvent](), 0
    for onsets, samples in chunks:
        total += samples
        # An onset lies in the audio that came with it, or is known a little early; order is not promised.
        within = [PhonemeOnset(min(onset.sample, total), onset.ipa, onset.stress) for onset in onsets]
        events += viseme.add(within, total)
        assert viseme.known_until <= total
    check_cover(events + viseme.finish(total), total)
