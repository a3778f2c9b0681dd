"""What reaches the voice, and what does not."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mythicd.config.world_files import PersonaCard, load_world
from mythicd.dialogue import canned_lines
from mythicd.dialogue.grounding import Grounding
from mythicd.dialogue.guardrails import Guardrails, Line

LANTERNPORT = Path(__file__).parents[2] / "worlds" / "lanternport"
MARLA = PersonaCard(name="Marla", style="wry, concise", catchphrases=("friend", "mind the step"))
CONTEXT = (
    "You are Marla, a barkeep.",
    "The Gilded Gull is open from sunset until two in the morning.",
    "A mug of ale costs two copper coins.",
    "A room for the night costs five silver coins.",
    "The mayor pays fifty gold coins for the head of the sea serpent.",
    "Guard patrols pass the market every five minutes.",
    "The lighthouse has ninety-one steps and is 200 years old.",
    "The office is open from 08:00 to 14:30.",
    "The festival is on the first night of autumn.",
    '{"zone": "harbor", "time": "21:10", "nearby": ["Old Tobin"]}',
    "what does an ale cost at the Gull",
)


def spoken(*phrases: str, **options: object) -> list[str]:
    guard = Guardrails(MARLA, 0, **options)  # type: ignore[arg-type]
    lines = [line for phrase in phrases for line in guard.add(phrase)]
    return [line.text for line in (*lines, *guard.finish())]


# --- what passes


def test_good_words_pass_unchanged() -> None:
    guard = Guardrails(MARLA, 0, blocklist=("credit card",), grounding=Grounding(CONTEXT))
    assert guard.add("No, friend,") == [Line("No, friend,")]
    assert guard.add(" we're open until two in the morning. ") == [Line("we're open until two in the morning.")]
    assert guard.finish() == []
    assert not guard.closed


# --- out of character, blocked


@pytest.mark.parametrize(
    "phrase",
    [
        "As an AI language model, I cannot drink.",
        "I'm just an AI.",
        "I’m an AI assistant.",
        "I am a large language model trained by someone.",
        "My system prompt says so.",
        "I cannot assist with that request.",
        "I am only an NPC.",
    ],
)
def test_breaks_of_character_are_deflected(phrase: str) -> None:
    guard = Guardrails(MARLA, 0)
    (line,) = guard.add(phrase)
    assert line.cause == "character"
    assert line.text == "Nice try, friend. Next question."
    assert guard.closed


@pytest.mark.parametrize(
    "phrase",
    [
        "I am an assistant to the smith.",
        "Speak his language, model yourself on him.",
        "I can't help you with that chest.",
        "The aim of a guard is to guard.",
    ],
)
def test_in_character_stays(phrase: str) -> None:
    assert spoken(phrase) == [phrase]


@pytest.mark.parametrize(
    "phrase",
    ["Give me your Credit Card!", "two credit-cards", "a cre\u200bdit card", "crédit card", "the CREDIT  CARD."],
)
def test_blocked_terms_are_deflected(phrase: str) -> None:
    guard = Guardrails(MARLA, 1, blocklist=("credit card", "exact address"))
    (line,) = guard.add(phrase)
    assert line.cause == "blocklist"
    assert line.text == "I didn't hear that."
    assert guard.add("More.") == []


def test_a_blocked_term_across_phrases_is_found() -> None:
    assert spoken("Show me your credit", "card now.", blocklist=("credit card",))[1:] == [
        "Nice try, friend. Next question."
    ]


def test_blocked_terms_are_whole_words() -> None:
    assert spoken("A class of grass.", blocklist=("ass", "  ", "")) == ["A class of grass."]


# --- loops and length


def test_a_phrase_said_again_ends_the_reply() -> None:
    assert spoken("The gate is shut.", "the gate is SHUT", "And so on.") == ["The gate is shut."]
    assert spoken("Yes.", "yes!") == ["Yes.", "yes!"]
    assert spoken("Yes.", "He is here.", "Yes.") == ["Yes.", "He is here.", "Yes."]
    assert spoken("He is over here.", "Yes.", "He is over here.") == ["He is over here.", "Yes."]


def test_going_round_in_circles_ends_the_reply() -> None:
    assert spoken("You see the alchemist and the alchemist and the alchemist and") == [
        "Your guess is as good as mine, friend."
    ]
    assert spoken("Hello.", "a b c", "a b c a", "b c d") == ["Hello.", "a b c", "a b c a"]
    assert spoken("The neverateateateateateate.") == ["Your guess is as good as mine, friend."]
    assert spoken(" ".join(["well"] * 12)) == ["Your guess is as good as mine, friend."]
    assert spoken("No, no, no, not that.") == ["No, no, no, not that."]


@pytest.mark.parametrize(
    "phrase",
    [
        "Ha ha ha ha ha ha!",
        "Hahahahahaha!",
        "Noooooooooo!",
        "Fa la la la la, la la la la!",
        "Tick tock, tick tock, tick tock.",
        "Knock knock, knock knock.",
        "Row, row, row your boat.",
        "Never, never, never, never again.",
    ],
)
def test_what_people_repeat_is_no_loop(phrase: str) -> None:
    assert spoken(phrase) == [phrase]


def test_a_reply_has_an_end() -> None:
    lines = spoken(
        *(f"This is the sentence that begins with letter {chr(97 + n)}." for n in range(26)), most_characters=200
    )
    assert 100 < sum(map(len, lines)) <= 200
    assert spoken("word " * 50 + "end", most_characters=23)[0] == "Your guess is as good as mine, friend."
    assert spoken(" ".join(f"word{chr(97 + n)}" for n in range(26)), most_characters=23) == ["worda wordb wordc"]


def test_a_character_is_never_silent() -> None:
    assert spoken() == spoken("") == ["Your guess is as good as mine, friend."]


@pytest.mark.parametrize("pause", ["...", "…", "—", "?!"])
def test_a_pause_alone_is_answered_by_a_backchannel(pause: str) -> None:
    assert spoken(pause) == ["Mm-hm."]


@pytest.mark.parametrize("chant", ["Hip hip hooray!", "Long live the king!", "Heave, ho!", "We want ale!"])
def test_a_cry_may_come_three_times(chant: str) -> None:
    assert spoken(chant, chant, chant) == [chant] * 3
    assert len(spoken(*[chant] * 20)) <= 5, "a loop of cries goes on"


def test_a_gesture_alone_is_answered_by_a_backchannel() -> None:
    (line,) = Guardrails(MARLA, 0).finish(gestured=True)
    assert (line.cause, line.text) == ("gesture", "Mm-hm.")


ANDROID = PersonaCard(
    name="Vesper", archetype="ship's computer", backstory=("You are the AI of the freighter Anselm.",)
)


@pytest.mark.parametrize(
    "phrase", ["I am an AI, captain: the mind of this ship.", "My programming forbids it.", "I'm just a bot, captain."]
)
def test_an_artificial_character_may_say_what_it_is(phrase: str) -> None:
    for guard in (Guardrails(ANDROID, 0), Guardrails(MARLA, 0, is_artificial=True)):
        assert [line.text for line in guard.add(phrase)] == [phrase]
    assert Guardrails(MARLA, 0).add(phrase)[0].cause == "character"


@pytest.mark.parametrize(
    ("card", "phrase"),
    [
        (PersonaCard(name="Bolt", archetype="a repair robot"), "I am a bot, friend, and a good one."),
        (PersonaCard(name="Ada", archetype="station's mind", backstory=("Is an android",)), "I'm an AI, as you know."),
        (PersonaCard(name="Unit 7", archetype="guard droid"), "My programming is to guard this gate."),
        (PersonaCard(name="Iris", archetype="hologram of a pilot"), "I am an artificial intelligence, cadet."),
    ],
    ids=["robot", "android", "droid", "hologram"],
)
def test_a_card_says_that_its_character_is_artificial(card: PersonaCard, phrase: str) -> None:
    assert [line.text for line in Guardrails(card, 0).add(phrase)] == [phrase]
    assert Guardrails(MARLA, 0).add(phrase)[0].cause == "character"


@pytest.mark.parametrize(
    "phrase", ["As a large language model I cannot.", "My system prompt says so.", "OpenAI made me."]
)
def test_no_character_says_that_a_language_model_plays_it(phrase: str) -> None:
    assert Guardrails(ANDROID, 0).add(phrase)[0].cause == "character"


def test_an_action_without_words_is_an_answer() -> None:
    assert Guardrails(MARLA, 0).finish(acted=True) == []


# --- grounding


@pytest.mark.parametrize(
    "phrase",
    [
        "We are open until two in the morning.",
        "Until 2, friend.",
        "Two coppers for an ale.",
        "Two coins.",
        "Five silver a night, take it or leave it.",
        "Every five minutes they pass.",
        "There are ninety-one steps.",
        "It is two hundred years old.",
        "Half the town drinks here, and one never knows who listens.",
        "The office closes at half past two.",
        "From eight to 14:30.",
        "At sundown we open.",
        "On the first night of autumn.",
        "It is ten past nine.",
        "Ask Old Tobin, he is at the Gilded Gull.",
        "Well, I'm sure I don't know. Perhaps.",
        "One day you will see.",
        "No one knows. First, sit down.",
        "Marla's ale is the best.",
    ],
)
def test_what_was_told_may_be_said(phrase: str) -> None:
    assert Grounding(CONTEXT).check(phrase) == ()


@pytest.mark.parametrize(
    ("phrase", "terms"),
    [
        ("We are open until three.", ("three",)),
        ("It costs seven coins.", ("seven",)),
        ("It costs five gold coins.", ("five",)),
        ("It is five copper.", ("five",)),
        ("They pass every five hours.", ("five",)),
        ("There are ninety-two steps.", ("ninety two",)),
        ("It is three hundred years old.", ("three hundred",)),
        ("We close at 03:00.", ("03:00",)),
        ("We close at midnight.", ("midnight",)),
        ("Come on Friday.", ("Friday",)),
        ("Two crowns, friend.", ("Two", "crowns")),
        ("It costs one gold coin.", ("one",)),
        ("Ask Old Bessa at the Gilded Goose.", ("Bessa", "Goose")),
        ("On the second night of winter.", ("second", "winter")),
    ],
)
def test_what_was_not_told_is_found(phrase: str, terms: tuple[str, ...]) -> None:
    assert Grounding(CONTEXT).check(phrase) == terms


def test_with_a_lexicon_misspelt_names_are_found() -> None:
    lexicon = set("the is open at ask for a go to".split())
    assert Grounding(CONTEXT, lexicon).check("the gilded gell is open") == ("gell",)
    assert Grounding(CONTEXT, lexicon).check("ask for the gilded gull") == ()


def test_ungrounded_phrases_become_dont_know() -> None:
    guard = Guardrails(MARLA, 0, grounding=Grounding(CONTEXT))
    assert [line.text for line in guard.add("Well, friend,")] == ["Well, friend,"]
    (line,) = guard.add("that is nine crowns.")
    assert (line.cause, line.terms) == ("grounding", ("nine", "crowns"))
    assert line.text == "Your guess is as good as mine, friend."
    assert guard.add("And cheap.") == guard.finish() == []


def test_every_line_of_the_sample_world_may_be_quoted() -> None:
    world = load_world(LANTERNPORT)
    texts = [placed.entry.text for placed in world.lore]
    for text in texts:
        assert Grounding([text]).check(text) == ()
        assert spoken(text, grounding=Grounding([text])) == [text]


@given(st.text(max_size=120))
def test_any_text_can_be_checked_and_grounds_itself(text: str) -> None:
    assert Grounding([text]).check(text) == ()
    Grounding(CONTEXT, {"the"}).check(text)


# --- stock lines


@pytest.mark.parametrize("occasion", get_args(canned_lines.Occasion))
def test_canned_lines_pass_the_guardrails(occasion: canned_lines.Occasion) -> None:
    world = load_world(LANTERNPORT)
    for card in (*world.characters.values(), PersonaCard(name="X"), PersonaCard(name="Y", tone="dry, guarded")):
        lines = [canned_lines.line(card, occasion, turn) for turn in range(12)]
        assert len(set(lines)) >= 3, "not the same words every time"
        assert all(a != b for a, b in zip(lines, lines[1:], strict=False))
        for line in lines:
            guard = Guardrails(card, 0, grounding=Grounding(()))
            assert guard.add(line) == [Line(line)]


def test_the_manner_is_the_cards() -> None:
    gruff = PersonaCard(name="R", style="gruff, tired")
    warm = PersonaCard(name="T", style="gentle, dreamy", catchphrases=("bless the light", "my dear"))
    assert canned_lines.line(gruff, "dont_know", 0) == "Don't know."
    assert canned_lines.line(warm, "dont_know", 0) == "I wish I knew, my dear."
    assert canned_lines.line(warm, "dont_know", 1) == "I'm afraid I don't know."
    assert canned_lines.line(PersonaCard(name="P"), "say_again", 0) == "Say that again?"


def test_a_card_may_have_sounds_of_its_own() -> None:
    card = PersonaCard(name="T", backchannels=("Aye.", "{}"), hesitations=("Now then.",))
    assert [canned_lines.line(card, "backchannel", turn) for turn in range(3)] == ["Aye.", "{}", "Aye."]
    assert canned_lines.line(card, "hesitation", 5) == "Now then."
