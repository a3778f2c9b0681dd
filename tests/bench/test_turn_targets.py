"""The turn benchmark: the floor, the pairs, and the claims."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from bench.turn.conversations import Place, Played, rotated
from bench.turn.lower_bound import Floor
from bench.turn.report import HELD, OPEN, TUNED, checks
from bench.turn.side import Answer
from bench.turn.targets import above, faster, figures, table
from bench.turn.world import REPLY


def answer(wait: float) -> Answer:
    return Answer(wait, "heard", "reply", prompt=500, evaluated=80, marks={})


def played() -> Played:
    """Return two talks of two questions each; the first question of a talk takes longest."""
    places = [Place(talk, turn) for talk in range(2) for turn in range(2)]
    floors = [Floor(asr=60, embed=10, llm=20 + 100 * number, llm_told=20, tts=2) for number in range(4)]
    return Played(places, {"ours": [answer(wait) for wait in (900, 100, 800, 120)]}, floors)


def test_floor_is_the_longer_of_silence_and_work() -> None:
    floor = Floor(asr=80, embed=10, llm=50, llm_told=30, tts=5)
    assert floor.total() == 145
    assert floor.total(told=True) == 125
    assert floor.total(200) == 200
    assert floor.total(100) == 145


def test_first_contacts_are_separate_and_floors_match_their_waits() -> None:
    kept = played()
    assert kept.waits("ours") == [900, 100, 800, 120]
    assert kept.waits("ours", contact=True) == [900, 800]
    assert kept.waits("ours", contact=False) == [100, 120]
    assert kept.floor(0) == [92, 192, 292, 392]
    assert kept.floor(200, contact=True) == [200, 292]
    assert kept.floor(0, told=True) == [92] * 4
    assert kept.tokens("ours") == [500] * 4


def test_every_side_starts_equally_often() -> None:
    names = ["a", "b", "c"]
    orders = [rotated(names, step) for step in range(6)]
    assert all(sorted(order) == names for order in orders)
    assert [order[0] for order in orders] == ["a", "b", "c"] * 2


def test_claim_needs_its_median_and_its_bad_end() -> None:
    ours = [100.0] * 7
    steady = faster("x", "", ours, [210.0, 205, 220, 215, 208, 212, 211], median=2.0, bad_end=1.5)
    assert steady.met
    assert steady.ratio.median == pytest.approx(2.11)
    assert not faster("x", "", ours, [190.0] * 7, median=2.0, bad_end=1.5).met
    torn = faster("x", "", ours, [140.0, 250, 140, 250, 140, 250, 250], median=2.0, bad_end=1.5)
    assert torn.ratio.median >= 2.0 and torn.ratio.low < 1.5
    assert not torn.met


def test_wait_is_compared_with_the_floor_of_its_question() -> None:
    claim = above("x", "", [120.0, 260, 130, 240], [100.0, 200, 100, 200], median=1.3, p95=1.6)
    assert claim.median == pytest.approx(1.25)
    assert claim.met
    assert not above("x", "", [140.0] * 4, [100.0] * 4, median=1.3, p95=1.6).met  # the median is
    assert not above("x", "", [100.0, 100, 100, 180], [100.0] * 4, median=1.3, p95=1.6).met  # the worst is above 1.6


def test_table_has_every_claim_and_whether_it_is_met() -> None:
    claims = [
        faster("tuned", "open | tuned", [100.0] * 5, [250.0] * 5, median=2.0, bad_end=1.5),
        above("tier", "open | floor", [200.0] * 5, [100.0] * 5, median=1.3, p95=1.6),
    ]
    text = io.StringIO()
    Console(file=text, width=110).print(table("claims", claims))
    lines = text.getvalue().splitlines()
    assert any("open | tuned" in line and "holds" in line for line in lines)
    assert any("open | floor" in line and "missed" in line for line in lines)
    assert figures(claims) == {
        "tuned_ours_ms": 100.0,
        "tuned_theirs_ms": 250.0,
        "tuned_times": 2.5,
        "tuned_times_bad_end": 2.5,
        "tier_over_floor": 2.0,
        "tier_over_floor_p95": 2.0,
    }


def test_sides_with_another_conversation_are_reported() -> None:
    def kept(tokens: int, heard: str = "where is it", reply: str = REPLY) -> Played:
        mine = Answer(100.0, "where is it", REPLY, prompt=500, evaluated=8, marks={})
        theirs = Answer(200.0, heard, reply, prompt=tokens, evaluated=80, marks={})
        return Played([Place(0, 0)], {OPEN: [mine], HELD: [mine], TUNED: [theirs]}, [Floor(1, 1, 1, 1, 1)])

    assert set(checks(kept(540)).values()) == {0}
    assert set(checks(kept(400)).values()) == {0}, "a longer prompt of ours is allowed"
    assert checks(kept(600))["prompts_shorter_than_peers"] == 1
    assert checks(kept(500, heard="when is it"))["questions_misheard"] == 1
    assert checks(kept(500, reply="Say that again?"))["answers_not_scripted"] == 1
