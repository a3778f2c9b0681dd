"""What is said for what is written, and the way back."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mythicd.native.espeakng import EspeakNg
from mythicd.text.scripts import script_of
from mythicd.tts.speakable_text import spoken, unspeakable


def said(text: str) -> str:
    return " ".join(spoken(text).text.split())


@pytest.mark.parametrize(
    ("written", "voice"),
    [
        ("*smiles* Welcome!", "Welcome!"),
        ("Welcome, friend. *She wipes the counter.* Sit.", "Welcome, friend. Sit."),
        ("Well *sighs* so be it.", "Well so be it."),
        ("I *really* mean it. *Never* go there.", "I really mean it. Never go there."),
        ("Come in [laughs [twice]] <sigh> now.", "Come in now."),
        ("Fine (sighs) take it.", "Fine take it."),
        ("The tavern (by the docks) closes.", "The tavern by the docks closes."),
        ("Ask Hale (the captain (retired)).", "Ask Hale the captain retired."),
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
        ("Open till 02:00.", "Open till two o'clock."),
        ("At 21:10 or 21:05, 9:30 am, 2:00 p.m. sharp.",
         "At twenty-one ten or twenty-one oh five, nine thirty a.m., two p.m. sharp."),
        ("At 00:00, 14:00.", "At midnight, fourteen hundred."),
        ("A ratio of 1:2 and 25:00 and 1:2:3", "A ratio of one to two and twenty-five to zero and one to two to three"),
        ("10-12 guards, pages 10–12, 2026-11-22",
         "ten to twelve guards, pages ten to twelve, November twenty-second, twenty twenty-six"),
        ("$3.50, £1, €20, $0.05, $2 million",
         "three dollars fifty, one pound, twenty euros, five cents, two million dollars"),
        ("1/2 and 3/4 but 5/7 and 1/2/2026",
         "a half and three quarters but five sevenths and January second, twenty twenty-six"),
        ("he/she and/or you", "he or she and or you"),
        ("the 1990s, the '90s", "the nineteen nineties, the nineties"),
        ("since 1984. It cost 1984 gold.",
         "since nineteen eighty-four. It cost one thousand nine hundred eighty-four gold."),
        ("Henry VIII, Chapter IV, World War II, I am", "Henry the eighth, Chapter Four, World War Two, I am"),
        ("No. 5, #1, No. never", "Number five, number one, No. never"),
        ("salt & pepper, Capt. Hook vs. Prof. Gull, i.e. him",
         "salt and pepper, Captain Hook versus Professor Gull, that is him"),
        ("on Harbour St. and", "on Harbour Street and"),
        ("STOP RIGHT THERE, NATO", "stop right there, nato"),
        ("MARLA has 20 HP", "marla has twenty hit points"),
        ("20 km, 5kg", "twenty kilometres, five kilos"),
        ("~5 men", "about five men"),
        ("Shh! Mm-hm. Mmm, brr, psst, Nooooo! Hm.", "shush! um hum. hmm, burr, pist, Noo! hmm."),
    ],
)  # fmt: skip
def test_what_is_read_badly_as_written(written: str, voice: str) -> None:
    assert said(written) == voice


@pytest.mark.parametrize(
    ("written", "sounds"),
    [
        ("02:00", "tˈuː əklˈɑːk"),
        ("21:10", "twˈɛntiwˈʌn tˈɛn"),
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
        "two": "02:00",
        "o'clock,": "02:00,",
        "for": "for",
        "three": "$3.50",
        "dollars": "$3.50",
        "fifty": "$3.50",
        "and": "&",
        "no": "no",
        "less.": "less**.",
    }


TOKENS = (
    "*smiles*|*|(a)|(|)|[x](y)|**|_|02:00|$3.50|10-12|1/2| |\n|- |VIII|Henry|SHH|NO WAY NOW|🙂|:)|word|'90s|in 1984.|&|"
    "a/b|5kg|<b>|9:30 a.m. so|$5-$10k|10:30-11:00|a@b.example|https://x.org/a?b|1½|W-what|2d6+3|6'2\"|Jan. 5, 2024|"
    "03/14/2025|1 000|1.2.3|2 + 2 = 4|555-1234|x²|10⁶|#TagTwo|@marla|Louis XVI|Ⅳ|٣|①|5 ft. |3/4|1,2,3|%|^|=|~|"
    "\\|你好|привет"
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
    assert not any(char.isdigit() for char in text.text)
    assert not set(text.text) & set("<>[]{}|\\*_#@=^~")
    assert all(script_of(char) == "Latin" for char in text.text if char.isalpha())


@pytest.mark.parametrize(
    ("written", "languages", "voice", "left_out"),
    [
        ("مرحبا يا صديقي", ("en",), "", ("مرحبا يا صديقي",)),
        ("你好，旅行者。", ("en-us+f2",), "", ("你好，旅行者。",)),
        ("现在3点", ("en",), "", ("现在3点",)),
        ("Say 你好, friend.", ("en",), "Say , friend.", ("你好",)),
        ("Её зовут Marla, да.", ("en_GB-alba",), "Marla, .", ("Её зовут", "да")),
        ("नमस्ते 5 times", ("en",), "five times", ("नमस्ते",)),
        ("Zoë's café, 5 €", ("en",), "Zoë's café, five euros", ()),
        ("你好，旅行者。", ("zh",), "你好，旅行者。", ()),
        ("Привет, 5 друзей", ("ru_RU-irina",), "Привет, 5 друзей", ()),
        ("Guten Tag, 5 Bier & 你好", ("de_DE-thorsten",), "Guten Tag, 5 Bier &", ("你好",)),
        ("いらっしゃい 한국어", ("ja",), "いらっしゃい", ("한국어",)),
        ("Ж", ("en", "ru"), "Ж", ()),
    ],
)
def test_script_that_the_voice_cannot_read_is_left_out_and_reported(
    written: str, languages: tuple[str, ...], voice: str, left_out: tuple[str, ...]
) -> None:
    assert " ".join(spoken(written, languages).text.split()) == voice
    assert unspeakable(written, languages) == left_out


@settings(deadline=None)
@given(st.from_regex(r"[A-Z]?[a-z]{3,9}(,? [a-z]{3,9}){0,8}[.!?]?", fullmatch=True))
def test_plain_prose_is_left_alone(written: str) -> None:
    words = [word.strip(",.!?").lower() for word in written.split()]
    drawn_out = any(len(set(word)) < len(word) - 1 for word in words)
    vowelless = any(set(word).isdisjoint("aeiouy") for word in words)
    abbreviated = not {"etc", "aka", "imo", "idk", "approx", "afaik"}.isdisjoint(words)
    assert spoken(written).text == written or drawn_out or vowelless or abbreviated
