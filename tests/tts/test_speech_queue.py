"""The outgoing stream: exact samples, visemes before their sound, and what of the text was heard."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mythicd.engines.tts import PhonemeOnset, VoiceChunk, WordOnset
from mythicd.errors import EngineError
from mythicd.native.espeakng import EspeakNg
from mythicd.tts.phrase_buffer import Phrase, PhraseBuffer
from mythicd.tts.silence_trim import FADE_MS, LEAD_MS, TAIL_MS, PhraseEdges
from mythicd.tts.speakable_text import spoken
from mythicd.tts.speech_queue import Pacing, SpeechFrame, SpeechQueue
from mythicd.wire.frames import OVR15

RATE = 22050
MS = RATE // 1000
FAR = 10**9
"""A playhead so far on that nothing is held back."""

Samples = NDArray[np.int16]


def tone(ms: float, level: int = 8000) -> Samples:
    return (level * np.cos(np.arange(round(ms * RATE / 1000)) * 0.05)).astype("<i2")


def hush(ms: float) -> Samples:
    return np.zeros(round(ms * RATE / 1000), "<i2")


def joined(frames: list[SpeechFrame]) -> Samples:
    return np.frombuffer(b"".join(frame.pcm for frame in frames), "<i2")


def say_all(queue: SpeechQueue, text: str, voice: str = "en-us") -> list[SpeechFrame]:
    """Speak a whole reply with espeak-ng, phrase by phrase; return the frames."""
    buffer = PhraseBuffer()
    frames: list[SpeechFrame] = []
    for phrase in buffer.add(text, 0.0) + buffer.finish():
        said = spoken(phrase.text)
        queue.begin(phrase, said)
        for chunk in EspeakNg.load().synthesize(said.text, voice):
            queue.add(chunk)
            frames += queue.take(queue._sent)
        queue.end()
        frames += queue.take(queue._sent)
    return frames


def check_frames(frames: list[SpeechFrame], rate: int = RATE) -> None:
    """Contiguous, 20–80 ms; visemes gapless, each in the frame it begins in or an earlier one; closed at the end."""
    at = shown = 0
    for number, frame in enumerate(frames):
        assert frame.start == at
        assert rate * 20 // 1000 <= frame.end - frame.start <= rate * (80 if number else 40) // 1000
        at = frame.end
        for event in frame.visemes:
            assert event.start == shown
            assert frame.start <= event.start < frame.end
            shown = event.end
        assert shown >= at, "a client has the visemes before the sound"
    if frames:
        assert shown == at
        assert OVR15[[event for frame in frames for event in frame.visemes][-1].code] == "sil"


# --- edges -----------------------------------------------------------------------------------------------------------


def through_edges(sound: Samples, size: int = 1000) -> tuple[Samples, PhraseEdges]:
    edges = PhraseEdges(RATE)
    pcm = b"".join(edges.add(sound[at : at + size].tobytes()) for at in range(0, len(sound), size))
    return np.frombuffer(pcm + edges.finish(), "<i2"), edges


def test_silence_is_trimmed_and_the_sound_untouched() -> None:
    body = np.concatenate([tone(100), hush(300), tone(50)])
    out, edges = through_edges(np.concatenate([hush(250), body, hush(400)]))
    lead, tail, fade = LEAD_MS * RATE // 1000, TAIL_MS * RATE // 1000, FADE_MS * RATE // 1000
    assert edges.cut == pytest.approx(250 * RATE / 1000 - lead, abs=2)
    assert edges.audible_start == pytest.approx(lead, abs=1)
    assert len(out) == pytest.approx(lead + len(body) + tail, abs=3)
    assert np.array_equal(out[lead + 1 : lead + len(body) - 1], body[1:-1])
    assert not out[0] and not out[-fade:].any()


def test_a_phrase_that_begins_and_ends_aloud_is_faded() -> None:
    out, _ = through_edges(tone(100))
    assert len(out) == len(tone(100))
    assert abs(int(out[0])) == 0 and abs(int(out[-1])) < 200
    assert np.abs(np.diff(out.astype(int))).max() <= 500, "no jump louder than the tone's own slope"
    fade = FADE_MS * RATE // 1000
    assert np.array_equal(out[fade:-fade], tone(100)[fade:-fade])


def test_what_nobody_can_hear_is_nothing() -> None:
    for sound in (hush(500), tone(500, level=90), hush(0)):
        out, edges = through_edges(sound)
        assert len(out) == 0
        assert edges.cut is None


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0, 50, 90, 8000]), st.integers(0, 90)), max_size=8), st.integers(1, 3000))
def test_edges_do_not_depend_on_the_chunks(parts: list[tuple[int, int]], size: int) -> None:
    sound = np.concatenate([hush(0), *(tone(ms, level) for level, ms in parts)])
    out, edges = through_edges(sound, size)
    whole, _ = through_edges(sound, max(1, len(sound)))
    assert np.array_equal(out, whole)
    assert edges.released == len(out)
    fade = FADE_MS * RATE // 1000
    if edges.cut is not None:
        original = sound[edges.cut : edges.cut + len(out)]
        assert np.array_equal(out[fade : len(out) - fade], original[fade : len(out) - fade])


# --- the stream ------------------------------------------------------------------------------------------------------

REPLY = "No, friend, *smiles* open till 02:00. Mind the lantern by the gate! It sticks. (She nods.)"


@pytest.mark.parametrize("voice", ["en-us", "en-gb+f2", "en-us+m3"])
def test_a_real_reply_streams_without_a_gap(voice: str) -> None:
    queue = SpeechQueue(RATE)
    frames = say_all(queue, REPLY, voice)
    check_frames(frames)
    assert queue.drained
    sound = joined(frames)
    assert 1000 < np.sqrt(np.mean(sound.astype(float) ** 2)) < 10000
    assert queue.first_audible is not None
    assert queue.first_audible <= LEAD_MS * RATE // 1000
    assert np.abs(sound[: queue.first_audible].astype(int)).max(initial=0) < 104
    assert abs(int(sound[0])) < 20, "no pop"


def test_the_samples_are_the_engines_own() -> None:
    chunks = list(EspeakNg.load().synthesize("Mind the lantern.", "en-us"))
    own = np.frombuffer(b"".join(chunk.pcm for chunk in chunks), "<i2")
    queue = SpeechQueue(RATE)
    queue.begin(Phrase("Mind the lantern.", 0), spoken("Mind the lantern."))
    for chunk in chunks:
        queue.add(chunk)
    queue.end()
    sound = joined(queue.take(FAR) or [])
    sound = np.concatenate([sound, joined(queue.take(queue._sent))])
    cut = next(at for at in range(len(own)) if np.array_equal(own[at + 200 : at + 3000], sound[200:3000]))
    fade = FADE_MS * RATE // 1000
    spoken_end = queue._phrases[0].end or 0
    assert np.array_equal(sound[fade : spoken_end - fade], own[cut + fade : cut + spoken_end - fade])


def test_pauses_between_phrases_are_explicit_silence() -> None:
    queue = SpeechQueue(RATE, Pacing(clause_pause_ms=100, sentence_pause_ms=300))
    frames: list[SpeechFrame] = []
    for start, text in ((0, "Aye,"), (4, " well."), (10, " so"), (13, " it")):
        queue.begin(Phrase(text, start), spoken(text))
        queue.add(VoiceChunk(tone(200).tobytes()))
        queue.end()
        frames += queue.take(queue._sent)
    check_frames(frames)
    starts = [phrase.start for phrase in queue._phrases]
    ends = [phrase.end or 0 for phrase in queue._phrases]
    gaps = [round((start - end) / MS) for end, start in zip(ends, starts[1:], strict=False)]
    assert gaps == [pytest.approx(100, abs=2), pytest.approx(300, abs=2), 0]
    assert not joined(frames)[ends[0] : starts[1]].any()


def test_a_listener_who_waits_is_not_given_a_pause() -> None:
    queue = SpeechQueue(RATE)
    for start, text in ((0, "Well."), (5, " Aye.")):
        queue.begin(Phrase(text, start), spoken(text), played=queue._sent)
        queue.add(VoiceChunk(tone(200).tobytes()))
        queue.end()
        queue.take(FAR)
    assert queue._phrases[1].start == queue._phrases[0].end


def test_frames_do_not_run_far_ahead() -> None:
    queue = SpeechQueue(RATE, Pacing(ahead_ms=500))
    queue.begin(Phrase("long", 0), spoken("long"))
    queue.add(VoiceChunk(tone(3000).tobytes()))
    queue.end()
    assert not queue.hungry(0)
    played, frames = 0, list[SpeechFrame]()
    while not queue.drained:
        new = queue.take(played)
        frames += new
        assert frames[-1].end - played <= 0.5 * RATE
        assert queue.take(played) == []
        played += RATE // 50
    check_frames(frames)
    assert len(joined(frames)) >= 3 * RATE - 1
    assert queue.hungry(played)


def test_the_first_frame_is_short_and_early() -> None:
    queue = SpeechQueue(RATE)
    queue.begin(Phrase("Aye", 0), spoken("Aye"))
    assert queue.take(0) == []
    queue.add(VoiceChunk(tone(130).tobytes(), (PhonemeOnset(0, "a"), PhonemeOnset(120 * MS, "ɪ"))))
    first, *_ = queue.take(0)
    assert 20 <= 1000 * (first.end - first.start) / RATE <= 40
    assert [OVR15[event.code] for event in first.visemes] == ["aa"]


def test_a_voice_begins_when_its_next_piece_can_be_bridged() -> None:
    queue = SpeechQueue(RATE)
    queue.begin(Phrase("Aye aye", 0), spoken("Aye aye"))
    queue.add(VoiceChunk(tone(60).tobytes(), (PhonemeOnset(0, "a"), PhonemeOnset(50 * MS, "ɪ"))))
    assert queue.take(0) == [], "it would run dry after 50 ms"
    queue.add(VoiceChunk(tone(80).tobytes(), (PhonemeOnset(130 * MS, "a"),)))
    assert sum(frame.end - frame.start for frame in queue.take(0)) >= 90 * MS


def test_a_short_voice_begins_when_its_phrase_is_over() -> None:
    queue = SpeechQueue(RATE)
    queue.begin(Phrase("Aye", 0), spoken("Aye"))
    queue.add(VoiceChunk(tone(60).tobytes(), (PhonemeOnset(0, "a"),)))
    queue.end()
    assert queue.take(0)


def test_audio_waits_for_its_visemes() -> None:
    queue = SpeechQueue(RATE)
    queue.begin(Phrase("Aye", 0), spoken("Aye"))
    queue.add(VoiceChunk(tone(60).tobytes(), (PhonemeOnset(0, "a"),)))
    assert queue.take(0) == [], "nobody knows yet how long the first shape lasts"
    queue.add(VoiceChunk(tone(60).tobytes(), (PhonemeOnset(110 * MS, "s"),)))
    assert [OVR15[event.code] for frame in queue.take(0) for event in frame.visemes] == ["aa"]


def test_an_engine_without_timings_still_streams() -> None:
    queue = SpeechQueue(RATE)
    queue.begin(Phrase("Aye", 0), spoken("Aye"))
    frames: list[SpeechFrame] = []
    for _ in range(20):
        queue.add(VoiceChunk(tone(100).tobytes()))
        frames += queue.take(queue._sent)
        assert queue.left(queue._sent) < 0.5 * RATE
    queue.end()
    check_frames(frames + queue.take(queue._sent))


def test_far_too_much_is_refused() -> None:
    queue = SpeechQueue(RATE, Pacing(buffered_ms=1000))
    queue.begin(Phrase("x", 0), spoken("x"))
    queue.add(VoiceChunk(tone(900).tobytes()))
    with pytest.raises(EngineError, match=r"\b1 s\b"):
        queue.add(VoiceChunk(tone(200).tobytes()))


def test_chunks_need_a_phrase() -> None:
    queue = SpeechQueue(RATE)
    with pytest.raises(ValueError, match="begin"):
        queue.add(VoiceChunk(b""))
    with pytest.raises(ValueError, match="begin"):
        queue.end()


# --- what was heard --------------------------------------------------------------------------------------------------


def three_words() -> SpeechQueue:
    """ "*nods* One two three. " with words at 0, 100 and 200 ms of 300, then "Four." """
    queue = SpeechQueue(RATE, Pacing(sentence_pause_ms=0))
    text = "*nods* One two three. "
    said = spoken(text)
    at = said.text.index("One")
    words = tuple(WordOnset(n * 100 * MS, at + place, at + place + 3) for n, place in enumerate((0, 4, 8)))
    queue.begin(Phrase(text, 0), said)
    queue.add(VoiceChunk(tone(300).tobytes(), words=words))
    queue.end()
    queue.begin(Phrase("Four.", 22), spoken("Four."))
    queue.add(VoiceChunk(tone(100).tobytes(), words=(WordOnset(0, 0, 5),)))
    return queue


def test_heard_to_the_word_and_never_too_much() -> None:
    queue = three_words()
    reply = "*nods* One two three. Four."
    heard = {ms: reply[: queue.heard(ms * MS)] for ms in (0, 50, 99, 101, 201, 290, 310, 395)}
    assert heard == {
        0: "",
        50: "*nods* ",
        99: "*nods* ",
        101: "*nods* One ",
        201: "*nods* One two ",
        290: "*nods* One two ",
        310: "*nods* One two three. ",
        395: "*nods* One two three. ",
    }
    queue.end()
    assert reply[: queue.heard(FAR)] == reply


def test_a_tool_call_waits_for_the_words_before_it() -> None:
    queue = three_words()
    assert queue.sample_of(0) == 0
    assert queue.sample_of(7) == 0, "nothing is said before the first word"
    assert queue.sample_of(11) == 100 * MS
    assert queue.sample_of(13) == 200 * MS, "amid a word: behind it"
    first_end = queue._phrases[0].end
    assert queue.sample_of(20) == queue.sample_of(22) == first_end
    assert queue.sample_of(27) is None, "still being said"
    queue.end()
    assert queue.sample_of(27) == queue._phrases[1].end
    assert queue.sample_of(28) is None, "not even begun"


def test_heard_follows_a_real_voice() -> None:
    queue = SpeechQueue(RATE)
    frames = say_all(queue, REPLY)
    counts = [queue.heard(sample) for sample in range(0, frames[-1].end + 1, RATE // 50)]
    assert counts == sorted(counts)
    assert counts[0] == 0
    assert queue.heard(FAR) == len(REPLY)
    cuts = {REPLY[:count] for count in counts}
    for word in ("friend,", "open", "till", "02:00.", "lantern", "gate!"):
        assert any(cut.rstrip().endswith(word) for cut in cuts), word
    assert all(not cut or cut[-1] in " .!)," for cut in cuts), "only whole words"
    for offset in range(len(REPLY) + 1):
        sample = queue.sample_of(offset)
        assert sample is not None
        if sample:
            assert queue.heard(sample) >= len(REPLY[:offset].rstrip()) - len("*smiles* ")
    samples = [queue.sample_of(offset) or 0 for offset in range(len(REPLY) + 1)]
    assert all(a <= b for a, b in pairwise(samples))


CHUNK = st.tuples(
    st.sampled_from([0, 0, 60, 9000]),
    st.integers(0, 150),
    st.lists(st.tuples(st.floats(0, 1), st.sampled_from(["", "p", "aɪ", "h", "tʃ", "s"])), max_size=3),
    st.booleans(),
)
PHRASES = st.lists(
    st.tuples(st.sampled_from(["One, two three", " *a* four!", "five. ", " ", "..."]), st.lists(CHUNK, max_size=6)),
    max_size=5,
)


@settings(deadline=None, max_examples=60)
@given(PHRASES, st.integers(0, 4000), st.sampled_from([500, 2000]))
def test_any_voice_gives_a_whole_stream(
    phrases: list[tuple[str, list[tuple[int, int, list[tuple[float, str]], bool]]]], step: int, ahead_ms: int
) -> None:
    queue, frames, played, offset = SpeechQueue(RATE, Pacing(ahead_ms=ahead_ms)), list[SpeechFrame](), 0, 0
    reply = "".join(text for text, _ in phrases)
    counts = [0]
    for text, chunks in phrases:
        said = spoken(text)
        queue.begin(Phrase(text, offset), said, played)
        offset += len(text)
        spots = [(at, at + 1) for at, char in enumerate(said.text) if char.isalpha()]
        begun = 0
        for level, ms, onsets, has_word in chunks:
            sound = tone(ms, level)
            words = (WordOnset(begun, *spots.pop(0)),) if has_word and spots else ()
            sounds = tuple(PhonemeOnset(begun + int(len(sound) * part), ipa) for part, ipa in sorted(onsets))
            queue.add(VoiceChunk(sound.tobytes(), sounds, words))
            begun += len(sound)
            frames += queue.take(played)
            played = min(played + step, frames[-1].end if frames else 0)
            counts.append(queue.heard(played))
        queue.end()
    while not queue.drained:
        before = len(frames)
        frames += queue.take(played)
        assert len(frames) > before or played < frames[-1].end, "what is whole leaves when the listener is close"
        played = frames[-1].end
        counts.append(queue.heard(played))
    check_frames(frames)
    assert counts == sorted(counts)
    assert counts[-1] <= len(reply)
    if frames:
        assert queue.heard(frames[-1].end) == len(reply)
        assert queue.sample_of(len(reply)) is not None
