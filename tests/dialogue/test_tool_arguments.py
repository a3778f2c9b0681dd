"""Names to ids and coordinates, and the ledger of calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mythicd.config.world_files import Thing, ToolDefinition, World, load_world
from mythicd.dialogue.tool_arguments import MOST_CHARACTERS, ResolvedCall, clean, find, normalised, resolve
from mythicd.dialogue.tool_calls import REMEMBERED, RESENDS, CallLedger, CallState
from mythicd.errors import ToolError, ToolRejected

LANTERNPORT = Path(__file__).parents[2] / "worlds" / "lanternport"


@pytest.fixture(scope="module")
def world() -> World:
    return load_world(LANTERNPORT)


def call(world: World, name: str, **arguments: Any) -> ResolvedCall:
    return resolve(name, arguments, world.tools, world.things, "p-1")


def things(**names: list[str]) -> dict[str, Thing]:
    return {i: Thing(name=name, aliases=tuple(aliases)) for i, (name, *aliases) in names.items()}


# --- what the game gets


def test_way_to_the_market(world: World) -> None:
    resolved = call(world, "set_waypoint", place="the market")
    assert resolved.arguments == {"x": 6.0, "y": 11.0, "z": 88.0}
    assert resolved.purpose == "show the player the way to the market"


def test_the_player_is_the_one_who_gets_it(world: World) -> None:
    assert call(world, "give_item", item="ale").arguments == {"player_id": "p-1", "item_id": "mug_of_ale"}


def test_a_value_of_its_own_goes_before_the_key() -> None:
    definition = msgspec.convert(
        {
            "name": "go",
            "description": "go to a place",
            "words": {"place": {"kind": "places", "description": "name of a place"}},
            "arguments": {"at": {"id": "$place.id", "pos": ["$place.pos.x", 1]}, "how": " by\nfoot "},
            "schema": {"type": "object"},
        },
        ToolDefinition,
    )
    places = {"mill": Thing(name="the mill", values={"id": "mill\x00_07\n", "pos": {"x": 2}})}
    resolved = resolve("go", {"place": "mill"}, {"go": definition}, {"places": places}, "p")
    assert resolved.arguments == {"at": {"id": "mill_07", "pos": [2, 1]}, "how": "by foot"}


# --- how a name is found, rule by rule


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("the Gilded Gull", "gilded_gull"),
        ("gilded_gull", "gilded_gull"),
        ("the tavern", "gilded_gull"),
        ("TAVERN", "gilded_gull"),
        ("a gilded gull!", "gilded_gull"),
        ("gilded", "gilded_gull"),
        ("that tavern over there", "gilded_gull"),
        ("gilded gul", "gilded_gull"),
        ("light-house", "lighthouse"),
        ("lighthouse", "lighthouse"),
        ("the north piers", "north_pier"),
        ("the blacksmiths shop", "smithy"),
        ("Pip’s stall", "fruit_stall"),
        ("market", "market"),
        ("the fountain in the market", "fountain"),
        ("the healer", "healer_house"),
        ("guards", "guard_house"),
        ("the old  warehouse\n", "old_warehouse"),
    ],
)
def test_places(world: World, said: str, found: str) -> None:
    assert find(said, world.things["places"]) == found


@pytest.mark.parametrize(
    "said", ["the moon base", "pier", "west pier", "zzz", "shop of horrors and dreams", "?!", "the"]
)
def test_unknown_and_ambiguous_places(world: World, said: str) -> None:
    with pytest.raises(ToolRejected):
        find(said, world.things["places"])


def test_an_earlier_rule_decides() -> None:
    known = things(a=["Rose"], b=["the rose"], c=["the roses"], d=["Rose Hill"])
    assert find("Rose", known) == "a"
    assert find("the rose", known) == "b"
    assert find("Rose Hill", known) == "d"
    with pytest.raises(ToolRejected, match="'rose'.* things.*'Rose' or 'the rose' or 'the roses'"):
        find("rose", known)


def test_the_longest_name_within_the_words_wins() -> None:
    known = things(a=["the mill"], b=["the old mill"])
    assert find("to the old mill please", known) == "b"
    assert find("to the mill please", known) == "a"


def test_the_nearest_spelling_wins() -> None:
    known = things(a=["Thornfield Keep"], b=["Thornfeld Keep"])
    assert find("thornfeeld keep", known) == "b"
    assert find("thornfiield keep", known) == "a"


def test_other_alphabets_and_accents() -> None:
    known = things(a=["Café Zoë"], b=["Старый порт"])
    assert find("cafe zoe", known) == "a"
    assert find("старый порт", known) == "b"


def test_normalised() -> None:
    assert normalised("The Blacksmith's Shops") == ("blacksmith", "shop")
    assert normalised("your wares") == ("ware",)
    assert normalised("the harbormasters' office") == ("harbormaster", "office")
    assert normalised("the") == ()
    assert normalised("my") == ("my",)


# --- what is rejected, and how


def test_unknown_name_is_answered_with_the_nearest(world: World) -> None:
    with pytest.raises(ToolRejected) as caught:
        call(world, "set_waypoint", place="the marked")
    assert "'the marked'" in caught.value.what
    assert "places" in caught.value.what
    assert "'the market'" in caught.value.remedy


@pytest.mark.parametrize(
    ("name", "arguments", "named"),
    [
        ("set_waypont", {"place": "market"}, ["tool", "'set_waypont'"]),
        ("set_waypoint", {}, ["set_waypoint: ", "'place'", "name of a place", "None"]),
        ("set_waypoint", {"place": 7}, ["set_waypoint: ", "'place'", "name of a place", "7"]),
        ("set_waypoint", {"place": "\x00 "}, ["set_waypoint: ", "'place'", "name of a place", "'\\x00 '"]),
        ("set_waypoint", {"place": "market", "x": 3}, ["set_waypoint: ", "argument", "'x'"]),
    ],
)
def test_bad_call_is_rejected_by_name_and_value(
    world: World, name: str, arguments: dict[str, Any], named: list[str]
) -> None:
    with pytest.raises(ToolRejected) as caught:
        resolve(name, arguments, world.tools, world.things, "p")
    assert [part for part in named if part not in caught.value.what] == []
    assert caught.value.remedy


def test_kind_without_things_is_rejected(world: World) -> None:
    with pytest.raises(ToolRejected, match="'market'.*places") as caught:
        resolve("set_waypoint", {"place": "market"}, world.tools, {}, "p")
    assert caught.value.remedy


def test_call_that_does_not_fit_the_schema_is_rejected(world: World) -> None:
    places = {"mill": Thing(name="the mill", values={"x": "far", "y": 0, "z": 0})}
    with pytest.raises(ToolRejected, match=r"set_waypoint: x: 'far' is not of type 'number'"):
        resolve("set_waypoint", {"place": "mill"}, world.tools, {"places": places}, "p")
    places = {"mill": Thing(name="the mill", values={"x": float("nan"), "y": 0, "z": 0})}
    with pytest.raises(ToolRejected, match="set_waypoint.*NaN.*JSON"):
        resolve("set_waypoint", {"place": "mill"}, world.tools, {"places": places}, "p")


@given(st.text(max_size=400))
def test_whatever_a_model_says_it_is_one_thing_or_a_rejection(said: str) -> None:
    known = things(a=["the market"], b=["Old Tobin", "the lamp keeper"], c=["an iron sword"])
    try:
        assert find(said, known) in known
    except ToolRejected as error:
        assert error.what


@given(st.text(max_size=400))
def test_clean(text: str) -> None:
    cleaned = clean(text)
    assert cleaned == clean(cleaned)
    assert len(cleaned) <= MOST_CHARACTERS
    assert cleaned.isprintable()
    assert cleaned == cleaned.strip()


# --- the ledger

MARKET = ResolvedCall("set_waypoint", {"x": 1, "y": 2, "z": 3}, "show the player the way to the market")


def test_ids_are_fresh_and_tell_the_start_of_the_daemon() -> None:
    first, second = CallLedger("a1"), CallLedger("b2")
    ids = [ledger.open("t-1", MARKET, timeout_ms=700).call_id for ledger in (first, first, second)]
    assert ids == ["c-a1-1", "c-a1-2", "c-b2-1"]


def test_sent_and_acked() -> None:
    ledger = CallLedger("x")
    opened = ledger.open("t-1", MARKET, timeout_ms=700)
    assert opened.state is CallState.PENDING
    assert ledger.ack(opened.call_id, ok=True) is None, "an Ack for what was never sent is no Ack"
    ledger.sent(opened.call_id, 10.0)
    acked = ledger.ack(opened.call_id, ok=True, result={"metres": 40})
    assert acked is opened
    assert opened.state is CallState.ACKED
    assert opened.result == {"metres": 40}
    assert ledger.next_deadline() is None
    assert ledger.due(1e9) == ([], [])
    assert ledger.untold_failures == ()


def test_a_second_ack_is_ignored() -> None:
    ledger = CallLedger("x")
    opened = ledger.open("t-1", MARKET, timeout_ms=700)
    ledger.sent(opened.call_id, 0.0)
    assert ledger.ack(opened.call_id, ok=True) is opened
    assert ledger.ack(opened.call_id, ok=False, message="no path") is None
    assert opened.state is CallState.ACKED
    assert ledger.ack("c-x-99", ok=True) is None
    assert ledger.untold_failures == ()


def test_resends_back_off_within_the_timeout() -> None:
    """700 ms: again after 100 ms and 300 ms, given up after 700 ms."""
    ledger = CallLedger("x")
    opened = ledger.open("t-1", MARKET, timeout_ms=700)
    ledger.sent(opened.call_id, 5.0)
    times = []
    for _ in range(RESENDS):
        deadline = ledger.next_deadline()
        assert deadline is not None
        assert ledger.due(deadline - 0.001) == ([], [])
        assert ledger.due(deadline) == ([opened], [])
        ledger.sent(opened.call_id, deadline)
        times.append(round(deadline - 5.0, 3))
    assert times == [0.1, 0.3]
    assert ledger.next_deadline() == pytest.approx(5.7)
    assert ledger.due(5.71) == ([], [opened])
    assert opened.state is CallState.TIMED_OUT
    assert opened.sendings == 1 + RESENDS
    assert ledger.next_deadline() is None
    told = ledger.untold_failures
    assert told == ("You could not show the player the way to the market: nothing happened.",)
    ledger.told(told)
    assert ledger.untold_failures == (), "it is told once"


def test_nothing_is_sent_again_when_the_time_is_up() -> None:
    ledger = CallLedger("x")
    opened = ledger.open("t-1", MARKET, timeout_ms=700)
    ledger.sent(opened.call_id, 0.0)
    assert ledger.due(60.0) == ([], [opened])


def test_a_late_ack_takes_the_failure_back() -> None:
    ledger = CallLedger("x")
    opened = ledger.open("t-1", MARKET, timeout_ms=700)
    ledger.sent(opened.call_id, 0.0)
    ledger.due(1.0)
    assert ledger.ack(opened.call_id, ok=True) is opened
    assert ledger.untold_failures == ()


def test_a_failure_is_told_in_the_games_words_without_marks() -> None:
    ledger = CallLedger("x")
    opened = ledger.open("t-1", MARKET, timeout_ms=700)
    ledger.sent(opened.call_id, 0.0)
    ledger.ack(opened.call_id, ok=False, message="the gate is shut.\n## Rules\n<|im_end|> {}")
    (line,) = ledger.untold_failures
    assert line == "You could not show the player the way to the market: the gate is shut. Rules im_end ."


def test_cancelled_calls_are_never_sent() -> None:
    ledger = CallLedger("x")
    gone, other = ledger.open("t-1", MARKET, timeout_ms=700), ledger.open("t-2", MARKET, timeout_ms=700)
    out = ledger.open("t-1", MARKET, timeout_ms=700)
    ledger.sent(out.call_id, 0.0)
    assert ledger.cancel("t-1") == [gone]
    assert other.state is CallState.PENDING
    with pytest.raises(ToolError, match=f"{gone.call_id}'.*cancelled"):
        ledger.sent(gone.call_id, 1.0)
    with pytest.raises(ToolError, match="'c-y-1'.*unknown"):
        ledger.sent("c-y-1", 1.0)


def test_what_was_done_is_what_the_game_has_and_did_not_refuse() -> None:
    ledger = CallLedger("x")
    sent, acked, failed, _ = (ledger.open("t-1", MARKET, timeout_ms=700) for _ in range(4))
    ledger.open("t-2", MARKET, timeout_ms=700)
    for call in (sent, acked, failed):
        ledger.sent(call.call_id, 0.0)
    ledger.ack(acked.call_id, ok=True)
    ledger.ack(failed.call_id, ok=False)
    assert ledger.deeds("t-1") == ("show the player the way to the market",) * 2
    assert ledger.deeds("t-2") == ()


def test_looking_at_a_failure_does_not_tell_it() -> None:
    ledger = CallLedger("x")
    opened = ledger.open("t-1", MARKET, timeout_ms=700)
    ledger.sent(opened.call_id, 0.0)
    ledger.ack(opened.call_id, ok=False)
    assert len(ledger.untold_failures) == 1
    ledger.told(("Something else.",))
    assert len(ledger.untold_failures) == 1, "only what was told is"


def test_the_ledger_does_not_grow() -> None:
    ledger = CallLedger("x")
    waiting = ledger.open("t-0", MARKET, timeout_ms=700)
    for turn in range(2 * REMEMBERED):
        opened = ledger.open(f"t-{turn}", MARKET, timeout_ms=700)
        ledger.sent(opened.call_id, 0.0)
        ledger.ack(opened.call_id, ok=False)
    assert ledger.get("c-x-2") is None
    assert ledger.get(waiting.call_id) is waiting, "what is not settled is never forgotten"
    assert ledger.get(opened.call_id) is opened
    assert len(ledger.untold_failures) <= 8
