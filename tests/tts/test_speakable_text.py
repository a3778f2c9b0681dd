"""What is said for what is written, and the way back."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mythicd.native.espeakng import EspeakNg
from mythicd.tts.speakable_text import spoken


def said(text: str) -> str:
    return " ".join(spoken(text).text.split())


@pytest.mark.parametrize(
    ("written", "voice"),
    [
        ("*smiles* Welcome!", "Welcome!"),
        ("Welcome, friend. *She wipes the counter.* Sit.", "Welcome, friend. Sit."),
        ("Well *sighs* so be it.", "Well so be it."),
        ("I *really* mean it. *Never* go there.", "I really mean it. Never go there."),
        ("(aside (twice) over) Come in [laughs] <sigh> now.", "Come in now."),
        ("**Bold** and __strong__ and `code`", "Bold and strong and code"),
        ("_Under_ snake_case", "Under snake case"),
        ("# Head\n- one\n* two\n> three", "Head one two three"),
        ("See [the map](http://example.org/map) there", "See the map there"),
        ("Hi 🙂 there 👩‍👩‍👧 ☕ :) <3", "Hi there"),
        ("🙂", ""),
        ("...", ""),
        ("*smiles*", ""),
        ("(nods)", ""),
        (" \n ", ""),
    ],
)
def test_what_is_not_spoken(written: str, voice: str) -> None:
    assert said(written) == voice


@pytest.mark.parametrize(
    ("written", "voice"),
    [
        ("Open till 02:00.", "Open till 2 o'clock."),
        ("At 21:10 or 21:05, 9:30 am, 2:00 p.m. sharp.", "At 21 10 or 21 oh 5, 9 30a.m., 2p.m. sharp."),
        ("At 00:00, 14:00.", "At midnight, 14 hundred."),
        ("A ratio of 1:2 and 25:00 and 1:2:3", "A ratio of 1:2 and 25:00 and 1:2:3"),
        ("10-12 guards, pages 10–12, 2026-11-22", "10 to 12 guards, pages 10 to 12, 2026-11-22"),
        ("$3.50, £1, €20, $0.05, $2 million", "3 dollars 50, 1 pound, 20 euros, 5 cents, 2 million dollars"),
        ("1/2 and 3/4 but 5/7 and 1/2/2026", "a half and three quarters but 5/7 and 1/2/2026"),
        ("he/she and/or you", "he or she and or you"),
        ("the 1990s, the '90s", "the 19 nineties, the nineties"),
        ("since 1984. It cost 1984 gold.", "since 19 84. It cost 1984 gold."),
        ("Henry VIII, Chapter IV, World War II, I am", "Henry the eighth, Chapter 4, World War 2, I am"),
        ("No. 5, #1, No. never", "number 5, number 1, No. never"),
        ("salt & pepper, Capt. Hook vs. Prof. Gull, i.e. him",
         "salt and pepper, captain Hook versus professor Gull, that is him"),
        ("on Harbour St. and", "on Harbour Street and"),
        ("STOP RIGHT THERE, NATO", "stop right there, nato"),
        ("MARLA has 20 HP", "MARLA has 20 HP"),
        ("20 km, 5kg", "20 kilometres, 5 kilos"),
        ("~5 men", "about 5 men"),
        ("Shh! Mm-hm. Mmm, brr, psst, Nooooo! Hm.", "shush! um hum. hmm, burr, pist, Noo! hmm."),
    ],
)  # fmt: skip
def test_what_is_read_badly_as_written(written: str, voice: str) -> None:
    assert said(written).replace(" a.m.", "a.m.").replace(" p.m.", "p.m.") == voice


@pytest.mark.parametrize(
    ("written", "sounds"),
    [
        ("02:00", "tˈuː əklˈɑːk"),
        ("21:10", "twˈɛnti wˈʌn tˈɛn"),
        ("10-12", "tˈɛn tə twˈɛlv"),
        ("Shh!", "ʃˈʌʃ"),
        ("*smiles* Aye", "ˈaɪ"),
    ],
)
def test_espeak_reads_it_as_a_person_would(written: str, sounds: str) -> None:
    assert EspeakNg.load().phonemes(spoken(written).text) == sounds


def test_every_spoken_word_is_traced_to_what_was_written() -> None:
    written = "*nods* Till 02:00, for $3.50 & no **less**."
    text = spoken(written)
    sources = {}
    start = 0
    for word in text.text.split():
        start = text.text.index(word, start)
        begin, end = text.source(start, start + len(word))
        sources[word] = written[begin:end]
        start += len(word)
    assert sources == {
        "Till": "Till",
        "2": "02:00",
        "o'clock,": "02:00,",
        "for": "for",
        "3": "$3.50",
        "dollars": "$3.50",
        "50": "$3.50",
        "and": "&",
        "no": "no",
        "less.": "less**.",
    }


TOKENS = (
    "*smiles*|*|(a)|(|)|[x](y)|**|_|02:00|$3.50|10-12|1/2| |\n|- |VIII|Henry|SHH|NO WAY NOW|🙂|:)|word|'90s|in 1984.|&|"
    "a/b|5kg|<b>|9:30 a.m. so"
).split("|")
TEXT = st.one_of(st.text(max_size=120), st.lists(st.sampled_from(TOKENS), max_size=25).map("".join))


@settings(deadline=None)
@given(TEXT)
@example("(((a)b)c)")
@example("\ud800 *\ud800*")
def test_positions_never_go_back_nor_beyond(written: str) -> None:
    text = spoken(written)
    assert len(text.text) == len(text.begins) == len(text.ends)
    assert all(a <= b for a, b in pairwise(text.begins))
    assert all(a <= b for a, b in pairwise(text.ends))
    assert all(0 <= begin < end <= len(written) for begin, end in zip(text.begins, text.ends, strict=True))


@settings(deadline=None)
@given(st.from_regex(r"[A-Z]?[a-z]{3,9}(,? [a-z]{3,9}){0,8}[.!?]?", fullmatch=True))
def test_plain_prose_is_left_alone(written: str) -> None:
    assert spoken(written).text == written or any(len(set(word)) < len(word) - 1 for word in written.split())
