"""The repair of misheard names, by espeak-ng's pronunciations and the vocabulary of Lanternport."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mythicd.asr.whisper.names import NameRepair, distance, sounds_of
from mythicd.asr.whisper.word_times import follow
from mythicd.config.world_files import load_world
from mythicd.engines.asr import Vocabulary, WordTime
from mythicd.native.espeakng import EspeakNg

WORLD = Path(__file__).parents[2] / "worlds" / "lanternport"
RARE = frozenset(
    "barkeep cobbler crossroads daggers fiddle fiddler ferried ferret haster hasty hearse hesters hostler howled kilted"
    " lanternport marlith marla moonflowers nightingale palisade plank puddles sarjent sergeant sill silus silas smithy"
    " toby toe-bin tobin tobias weaver wren wretch".split()
)
"""Words of these tests that are more than one token of Whisper's."""

ORDINARY = """
What is your name and where do you come from?|I walked along the beach this morning.|Could you lend me a few coins?
My sister is a baker in the next village.|The rain has ruined my boots.
I would rather sleep outside than pay that much.|Do you have any work for me?|He works at the docks every day.
Why are you looking at me like that?|I need somebody to repair my sword.|Have you heard any news from the capital?
It rained all night long.|Her brother went missing last winter.|The soup was far too salty.
Please hand me that hammer.|Fetch the bucket.|We sailed past the reef at dawn.|I hear the sea from my window.
Are the fishermen back yet?|There is a hole in my pocket.|She told me a tale about a dragon.
I have walked the whole day.|Can I pay you later?|The bird flew over the wall.|How far is it to the next town?
I am looking for a friend of mine.|They say that the king is dead.|You look tired today.|Is it going to snow?
The cheese is better than the bread.|Would you like to play cards?|I have seen so many ships.
That does not sound right to me.|Give me two apples and a pear.|He pulled the lever and the door opened.
Don't be rude.|The horses need water.|I can't remember her face.|My back hurts from all that lifting.
What did the merchant tell you?|Where can I sell these furs?|We should leave before sunrise.|Let me think about it.
Is there a doctor nearby?|Yes, sir.|Nobody told me that it would be so cold.|I found this ring on the road.
Tell your master that I am here.|You must be joking.|The harvest was poor this year.|I was born on a farm.
What would you do in my place?|The captain of the ship was drunk.|Are you married?
Take the left path at the crossroads.|I lost everything in the fire.|The pier was empty.|Who are you?
I will pay half now and half later.|Who painted this picture?|You have a lovely garden.|He is hiding in the cellar.
Is this seat taken?|The moon is bright tonight.|I broke my leg falling down the stairs.|She sings like a nightingale.
Did you bolt the door?|The mason repaired the chimney.|The fiddle is out of tune.|I am a weaver by trade.|Of course.
The carpenter measured the plank twice.|Wolves howled outside the palisade.|There were puddles everywhere.
No, thank you.|The blacksmith's apprentice burned his thumb.|The lanterns are lit at dusk.
Sharpen these daggers for me.|Come with me.|The cobbler closed early.|A hearse passed by.|It was a hasty decision.
The master of the house is away.|Marble is dear.|He plays chess with a rook and a pawn.
I met a marshal from the north.|The hostler took my horse.|What a tale.|Barley and hops make good beer.
My uncle Toby likes tobacco.|The fins of that fish are sharp.|A finch sang in the hedge.|The wretch stole my purse.
I ran up the hill.|Polish the silver before noon.|A silver maiden won the dance.|Good night.
The gilded frame is broken.|Did the ferret escape?|I ferried them across the river.|The pipe is cracked.|Is that hers?
Watch your step on the ladder.|A sparrow landed on the sill.|Never mind, I was mistaken.
We are short of flour and sugar.|I work here.|What is the price for a fish seller?|How much is a room for the night?
Where is the light house?|I see.|I need your help.|Take a look.|Take a boat.|Take your seat.|I need a hand.
Have a look.|Show me your hands.|What do you want from me?|Hold your head up.|Lend me your shoulder.|Clean your hands.
He is on the north side.|Is the old house empty?|The old man lives near the green hill.|The north wind is cold.
I read the town news.|The room is big.|I tied the rope.|Give me a hail of arrows.|A fin on the fish.
They are hailing us.|Is he a stone mason?|The rock is heavy.
"""


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return load_world(WORLD).vocabulary()


def repair_of(vocabulary: Vocabulary) -> NameRepair:
    espeak = EspeakNg.load()
    names = (*vocabulary.people, *vocabulary.places, *vocabulary.items, *vocabulary.topics)
    return NameRepair(
        names, vocabulary.lines, lambda word: espeak.phonemes(word, "en-us"), lambda word: word not in RARE
    )


@pytest.fixture(scope="module")
def lanternport(vocabulary: Vocabulary) -> NameRepair:
    return repair_of(vocabulary)


@pytest.mark.parametrize(
    ("heard", "repaired"),
    [
        ("Who is the harder master?", "Who is the harbor master?"),
        ("Is haster at the forge?", "Is Hester at the forge?"),
        ("is haster at the forge,", "is Hester at the forge,"),
        ("Good evening, Marlith.", "Good evening, Marla."),
        ("Where does the fairy leave?", "Where does the ferry leave?"),
        ("Have you seen Captain Hail?", "Have you seen Captain Hale?"),
        ("Marlith's tavern, please!", "Marla's tavern, please!"),
        ("Tell me about the blue land turn.", "Tell me about the blue lantern."),
        ("Is old toe bin at home?", "Is Old Tobin at home?"),
        ("Do you know Silus Green?", "Do you know Silas Green?"),
        ("Who is Mother Ren?", "Who is Mother Wren?"),
        ("“Haster”, he said, “haster!”", "“Hester”, he said, “Hester!”"),
    ],
)
def test_a_misheard_name_is_repaired(lanternport: NameRepair, heard: str, repaired: str) -> None:
    assert lanternport.repair(heard) == repaired
    assert lanternport.repair(repaired) == repaired


def test_ordinary_sentences_stay_as_they_are(lanternport: NameRepair) -> None:
    sentences = [each for line in ORDINARY.strip().splitlines() for each in line.split("|")]
    assert len(sentences) >= 100
    assert {each: lanternport.repair(each) for each in sentences if lanternport.repair(each) != each} == {}


def test_texts_of_the_world_stay_as_they_are(lanternport: NameRepair, vocabulary: Vocabulary) -> None:
    names = (*vocabulary.people, *vocabulary.places, *vocabulary.items, *vocabulary.topics)
    for text in (*vocabulary.lines, *names, *(f"Tell me about {name}, please." for name in names)):
        assert lanternport.repair(text) == text


def test_words_of_the_world_are_not_replaced(vocabulary: Vocabulary) -> None:
    lines = (*vocabulary.lines, "A fairy lives in the harder master's garden.")
    known = repair_of(Vocabulary(vocabulary.people, vocabulary.places, vocabulary.items, vocabulary.topics, lines))
    assert known.repair("Where does the fairy leave?") == "Where does the fairy leave?"
    assert known.repair("Who is the harder master?") == "Who is the harder master?"


@pytest.mark.parametrize("text", ["", " ", "…", "?!", "'s", "é", "12", "a"])
def test_text_without_words_stays_as_it_is(lanternport: NameRepair, text: str) -> None:
    assert lanternport.repair(text) == text


def test_a_world_without_names_repairs_nothing() -> None:
    assert repair_of(Vocabulary()).repair("Who is the harder master?") == "Who is the harder master?"


@given(st.lists(st.sampled_from("the a haster marlith harder master old toe bin 's , . hail".split()), max_size=12))
def test_a_repaired_text_is_not_repaired_again(words: list[str]) -> None:
    once = LANTERNPORT.repair(" ".join(words))
    assert LANTERNPORT.repair(once) == once


LANTERNPORT = repair_of(load_world(WORLD).vocabulary())


def test_sounds_have_no_stress_length_or_diacritics() -> None:
    assert sounds_of("lˈæntɚnpˌɔːɹt") == "læntɚnpɔɹt"
    assert sounds_of("bˈʌʔn̩ _:") == "bʌʔn"


def test_alike_sounds_are_near() -> None:
    assert distance("hɛstɚ", "hɛstɚ") == 0
    assert distance("hɛstɚ", "heɪstɚ") < distance("hɛstɚ", "mɛstɚ") + 1
    assert distance("pæt", "bæt") < distance("pæt", "læt") <= 1.0
    assert distance("", "abc") == distance("abc", "")


@given(st.text("abpdtkhɪə", max_size=8), st.text("abpdtkhɪə", max_size=8))
def test_distance_is_symmetric(one: str, other: str) -> None:
    assert distance(one, other) == pytest.approx(distance(other, one))
    assert (distance(one, other) == 0) == (one == other)


WORDS = (WordTime("Who", 0.0, 0.2), WordTime("is", 0.2, 0.3), WordTime("old", 0.3, 0.6), WordTime("toe", 0.6, 0.7)) + (
    WordTime("bin?", 0.7, 1.1),
)


def test_word_times_follow_the_repaired_text() -> None:
    assert follow(WORDS, "Who is old toe bin?") == WORDS
    assert follow(WORDS, "Who is old two bin?")[3] == WordTime("two", 0.6, 0.7)
    found = follow(WORDS, "Who is Old Tobin?")
    assert [word.text for word in found] == ["Who", "is", "Old", "Tobin?"]
    assert (found[2].start_s, found[3].end_s) == (0.3, 1.1)
    assert follow(WORDS, "") == follow((), "") == ()


@given(st.lists(st.sampled_from("Who is old toe bin? Tobin".split()), max_size=9))
def test_word_times_have_the_words_of_the_text(words: list[str]) -> None:
    found = follow(WORDS, " ".join(words))
    assert [word.text for word in found] == words
    assert all(0 <= word.start_s <= word.end_s <= 1.1 for word in found)
    assert [word.start_s for word in found] == sorted(word.start_s for word in found)
