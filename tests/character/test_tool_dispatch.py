"""Tool dispatch: sending, acknowledgement, timeout and cancellation of calls, with a clock set by hand."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from mythicd.character.routing import KEPT, Routes
from mythicd.character.speak.tool_dispatch import ToolDispatch
from mythicd.config.world_files import Thing, ToolDefinition, WordArgument
from mythicd.errors import ToolRejected
from mythicd.memory.records import ToolRecord
from mythicd.wire import messages as m
from tests.screenplay import Screenplay

THINGS = {
    "places": {"market": Thing(name="the market", values={"x": 1.0}), "gate": Thing(name="the gate", values={"x": 2.0})}
}


def tool(name: str, *, needs_result: bool = False, repeatable: bool = False) -> ToolDefinition:
    return ToolDefinition(
        name=name,
        description="show a place",
        words={"place": WordArgument(kind="places", description="a place")},
        arguments={"x": "$place.x"},
        schema={"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]},
        needs_result=needs_result,
        repeatable=repeatable,
        timeout_ms=700,
    )


TOOLS = {
    "show": tool("show"),
    "ask": tool("ask", needs_result=True),
    "nod": tool("nod", repeatable=True),
}


class Game:
    """The tool dispatch of one character, and the player's client."""

    def __init__(self) -> None:
        self.now = 100.0
        self.recorded: list[ToolRecord] = []
        play = Screenplay("marla")
        play.place.things = THINGS
        self.player = play.player
        self.routes = play.routes
        context = replace(play.context("marla"), clock=lambda: self.now, wall=lambda: 1000.0 + self.now)
        self.actions = ToolDispatch(context, "marla-ab", self.recorded.append)

    @property
    def sent(self) -> list[m.ToolCall]:
        return self.player.all(m.ToolCall)

    def open(self, name: str = "show", place: str = "market") -> str:
        call, is_new = self.actions.open("t-1", name, {"place": place}, TOOLS)
        assert is_new
        return call.call_id

    def drops(self, name: str = "show", place: str = "market", turn: str = "t-1") -> bool:
        return not self.actions.open(turn, name, {"place": place}, TOOLS)[1]


async def test_call_is_sent_on_request_and_settled_once() -> None:
    game = Game()
    call_id = game.open()
    assert game.sent == []
    assert game.routes.caller(call_id) == "marla"
    game.actions.send(call_id)
    assert [(call.name, call.arguments) for call in game.sent] == [("show", {"x": 1.0})]
    game.actions.acknowledge(m.Ack(call_id=call_id))
    game.actions.acknowledge(m.Ack(call_id=call_id, status="error"))
    assert [record.status for record in game.recorded] == ["sent", "ok"]


async def test_unknown_place_is_rejected() -> None:
    with pytest.raises(ToolRejected, match="moon"):
        Game().open(place="the moon")


async def test_cancelled_call_is_never_sent() -> None:
    game = Game()
    call_id = game.open()
    game.actions.cancel("t-1")
    assert game.recorded[-1].status == "cancelled"
    game.actions.acknowledge(m.Ack(call_id=call_id))
    assert (game.sent, len(game.recorded)) == ([], 1)


async def test_unacknowledged_call_is_repeated_and_then_times_out() -> None:
    game = Game()
    game.actions.send(game.open())
    while game.actions.next_deadline is not None:
        game.now = game.actions.next_deadline
        game.actions.check_deadlines()
    assert len(game.sent) == 3 and len({call.call_id for call in game.sent}) == 1
    (late,) = game.player.all(m.Error)
    assert (late.code, late.turn_id, late.call_id) == ("TOOL_TIMEOUT", "t-1", game.sent[0].call_id)
    assert game.recorded[-1].status == "timeout"
    assert game.actions.untold_failures == ("You could not show the market: nothing happened.",)


async def test_reply_can_wait_for_a_result() -> None:
    game = Game()
    call, _ = game.actions.open("t-1", "ask", {"place": "market"}, TOOLS)
    waiting = asyncio.create_task(game.actions.result(call))
    game.actions.send(call.call_id)
    await asyncio.sleep(0)
    game.actions.acknowledge(m.Ack(call_id=call.call_id, result={"open": True}))
    assert (await waiting).result == {"open": True}


def test_routes_are_bounded() -> None:
    routes = Routes()
    first = routes.open_stream("marla")
    routes.open_call("c-0", "marla")
    for number in range(1, KEPT + 1):
        routes.open_stream("tobin")
        routes.open_call(f"c-{number}", "tobin")
    assert routes.speaker(first) is None and routes.caller("c-0") is None
    assert routes.speaker(first + KEPT) == "tobin" and routes.caller(f"c-{KEPT}") == "tobin"


# --- the same call twice in one reply --------------------------------------------------------------------------------


async def test_the_same_call_twice_is_done_once_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    game = Game()
    first = game.open()
    with caplog.at_level("INFO"):
        assert game.drops()
        assert game.drops(place="The Market"), "another spelling of the same place"
    assert "marla called show twice" in caplog.text and "repeatable: true" in caplog.text
    game.actions.send(first)
    assert game.drops(), "it is under way"
    game.actions.acknowledge(m.Ack(call_id=first, status="ok"))
    assert game.drops(), "it is done"
    assert len(game.sent) == 1


async def test_other_arguments_other_tools_and_other_turns_are_other_calls() -> None:
    game = Game()
    game.open()
    assert not game.drops(place="gate")
    assert not game.drops("ask")
    assert not game.drops(turn="t-2")


async def test_a_repeatable_tool_is_called_as_often_as_the_model_says() -> None:
    game = Game()
    assert len({game.open("nod") for _ in range(3)}) == 3


async def test_a_call_that_failed_may_be_tried_again() -> None:
    game = Game()
    first = game.open()
    game.actions.send(first)
    game.actions.acknowledge(m.Ack(call_id=first, status="error", message="the way is blocked"))
    assert not game.drops()


async def test_a_call_that_may_have_been_done_is_not_tried_again() -> None:
    game = Game()
    game.actions.send(game.open())
    game.now += 1.0
    game.actions.check_deadlines()
    assert game.drops()


async def test_a_call_whose_words_were_never_heard_may_be_made_again() -> None:
    game = Game()
    game.open()
    game.actions.cancel("t-1")
    assert not game.drops()


async def test_the_repetition_of_a_call_with_a_result_gets_the_same_result() -> None:
    game = Game()
    call, _ = game.actions.open("t-1", "ask", {"place": "market"}, TOOLS)
    again, is_new = game.actions.open("t-1", "ask", {"place": "market"}, TOOLS)
    assert again is call and not is_new
    game.actions.send(call.call_id)
    both = asyncio.gather(game.actions.result(call), game.actions.result(again))
    await asyncio.sleep(0)
    game.actions.acknowledge(m.Ack(call_id=call.call_id, status="ok", result={"gold": 3}))
    assert [done.result for done in await both] == [{"gold": 3}] * 2
    third, _ = game.actions.open("t-1", "ask", {"place": "market"}, TOOLS)
    assert (await game.actions.result(third)).result == {"gold": 3}
    assert len(game.sent) == 1 and game.actions.awaited == 0
