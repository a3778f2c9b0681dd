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

THINGS = {"places": {"market": Thing(name="the market", values={"x": 1.0})}}


def tool(name: str, *, needs_result: bool = False) -> ToolDefinition:
    return ToolDefinition(
        name=name,
        description="show a place",
        words={"place": WordArgument(kind="places", description="a place")},
        arguments={"x": "$place.x"},
        schema={"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]},
        needs_result=needs_result,
        timeout_ms=700,
    )


TOOLS = {"show": tool("show"), "ask": tool("ask", needs_result=True)}


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
        return self.actions.open("t-1", name, {"place": place}, TOOLS).call_id


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
    call = game.actions.open("t-1", "ask", {"place": "market"}, TOOLS)
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
