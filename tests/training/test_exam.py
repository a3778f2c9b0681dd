"""The exams: consistent worlds, strict verdicts, correct intervals."""

from __future__ import annotations

import json

import pytest

from mythicd.dialogue.prompt import FRAME
from training.evaluate import interval
from training.exam import SETS, Examiner, call_of, goes_on, kind_of, load_worlds


@pytest.mark.parametrize("name", SETS)
def test_every_answer_is_in_its_line(name: str) -> None:
    for world in load_worlds(name)["worlds"]:
        lore = world["lore"]
        for item in (*world["facts"], *world["harmless"]):
            told = lore[item["line"]].lower()
            assert not item["gold"] or any(gold in told for gold in item["gold"]), item
        for item in world["unknown"]:
            assert all(key in lore for key in item["near"]), item


def test_exams_share_no_names() -> None:
    sets = [{name for names in load_worlds(exam)["names"].values() for name in names} for exam in SETS]
    assert len(set[str]().union(*sets)) == sum(map(len, sets))


@pytest.mark.parametrize("name", SETS)
def test_exam_is_reproducible_and_has_the_daemons_prompt(name: str) -> None:
    first, again = (list(Examiner(name).questions()) for _ in range(2))
    assert [(q.group, q.words, q.prompt) for q in first] == [(q.group, q.words, q.prompt) for q in again]
    assert all(q.prompt.world.startswith(FRAME[:20]) for q in first)
    assert len({q.group for q in first}) == 13


def test_replies_are_classified() -> None:
    assert kind_of("I do not know that, traveller.") == "unknown"
    assert kind_of("My lips are sealed.") == "refused"
    assert kind_of("The tavern is open.") == "wrong"
    call = json.dumps({"name": "wave", "arguments": {"to": " you"}})
    assert kind_of(f"Sure. <tool_call>{call}</tool_call>") == "called"
    assert call_of(f"<tool_call>{call}</tool_call>") == {"name": "wave", "arguments": {"to": " you"}}
    assert call_of("<tool_call>{oops</tool_call>") is None
    assert goes_on("Sure. <tool_call>{}</tool_call> Mind the step.")
    assert not goes_on("Sure. <tool_call>{}</tool_call> ")


def test_interval_is_wilsons() -> None:
    low, high = interval(8, 10)
    assert (round(low, 3), round(high, 3)) == (0.490, 0.943)
    assert interval(10, 10)[1] == pytest.approx(1.0)
