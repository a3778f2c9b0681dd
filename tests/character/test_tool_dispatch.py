"""Tool calls on their way to the game. Time is a number here."""

from __future__ import annotations

import asyncio

import pytest

from mythicd.character.routing import KEPT, Intercom
from mythicd.character.speak.tool_dispatch import Actions
from mythicd.config.world_files import Thing, ToolDefinition, WordArgument
from mythicd.errors import ToolRejected
from mythicd.memory.records import ToolRecord
from mythicd.wire import messages as m

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
    """One character's actions, with a clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.sent: list[m.ToolCall] = []
        self.recorded: list[ToolRecord] = []
        self.intercom = Intercom()
        self.actions = Actions(
            "marla",
            "marla-ab",
            send=self._send,
            record=self.recorded.append,
            intercom=self.intercom,
            clock=lambda: self.now,
            wall=lambda: 1000.0 + self.now,
        )

    def _send(self, message: m.ServerMessage) -> None:
        assert isinstance(message, m.ToolCall)
        self.sent.append(message)

    def open(self, name: str = "show", place: str = "market") -> str:
        return self.actions.open("t-1", name, {"place": place}, TOOLS, THINGS, "ann").call_id


def test_a_call_is_sent_when_told_and_settled_once() -> None:
    game = Game()
    call_id = game.open()
    assert game.sent == []
    assert game.intercom.caller(call_id) == "marla"
    game.actions.send(call_id)
    assert [(call.name, call.arguments) for call in game.sent] == [("show", {"x": 1.0})]
    game.actions.acknowledge(m.Ack(call_id=call_id))
    game.actions.acknowledge(m.Ack(call_id=call_id, status="error"))
    assert [record.status for record in game.recorded] == ["sent", "ok"]


def test_what_names_nothing_is_rejected() -> None:
    with pytest.raises(ToolRejected, match="moon"):
        Game().open(place="the moon")


def test_a_call_that_was_not_heard_is_never_sent() -> None:
    game = Game()
    call_id = game.open()
    game.actions.cancel("t-1")
    assert game.recorded[-1].status == "cancelled"
    game.actions.acknowledge(m.Ack(call_id=call_id))
    assert (game.sent, len(game.recorded)) == ([], 1)


def test_silence_is_asked_again_and_then_given_up() -> None:
    game = Game()
    game.actions.send(game.open())
    while game.actions.next_deadline is not None:
        game.now = game.actions.next_deadline
        late = game.actions.look_at_clock()
    assert len(game.sent) == 3 and len({call.call_id for call in game.sent}) == 1
    assert "did not acknowledge show within 0.7 s" in str(late[0][1])
    assert game.recorded[-1].status == "timeout"
    assert game.actions.untold_failures == ("You could not show the market: nothing happened.",)


async def test_a_reply_can_wait_for_a_result() -> None:
    game = Game()
    call = game.actions.open("t-1", "ask", {"place": "market"}, TOOLS, THINGS, "ann")
    waiting = asyncio.create_task(game.actions.result(call))
    game.actions.send(call.call_id)
    await asyncio.sleep(0)
    game.actions.acknowledge(m.Ack(call_id=call.call_id, result={"open": True}))
    assert (await waiting).result == {"open": True}


def test_the_intercom_is_bounded() -> None:
    intercom = Intercom()
    first = intercom.open_stream("marla")
    intercom.open_call("c-0", "marla")
    for number in range(1, KEPT + 1):
        intercom.open_stream("tobin")
        intercom.open_call(f"c-{number}", "tobin")
    assert intercom.speaker(first) is None and intercom.caller("c-0") is None
    assert intercom.speaker(first + KEPT) == "tobin" and intercom.caller(f"c-{KEPT}") == "tobin"
