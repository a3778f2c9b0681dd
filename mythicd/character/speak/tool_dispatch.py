"""One character's tool calls on their way to the game: named, resolved, sent when heard, acknowledged, written down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from mythicd.character.routing import Intercom
from mythicd.config.world_files import Thing, ToolDefinition
from mythicd.dialogue.tool_arguments import resolve
from mythicd.dialogue.tool_calls import Call, CallLedger
from mythicd.errors import ToolTimeout
from mythicd.memory.records import ToolRecord
from mythicd.wire import messages as m


class Actions:
    """The calls of one character."""

    def __init__(
        self,
        npc_id: str,
        prefix: str,
        *,
        send: Callable[[m.ServerMessage], None],
        record: Callable[[ToolRecord], None],
        intercom: Intercom,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        """`prefix` makes call ids unique among characters and starts of the daemon."""
        self._npc_id = npc_id
        self._ledger = CallLedger(prefix)
        self._send_message = send
        self._record = record
        self._intercom = intercom
        self._clock = clock
        self._wall = wall
        self._awaited: dict[str, asyncio.Future[Call]] = {}

    @property
    def next_deadline(self) -> float | None:
        """When `look_at_clock` has something to do, on the monotonic clock."""
        return self._ledger.next_deadline()

    def open(
        self,
        turn_id: str,
        name: str,
        arguments: Mapping[str, Any],
        tools: Mapping[str, ToolDefinition],
        things: Mapping[str, Mapping[str, Thing]],
        player_id: str,
    ) -> Call:
        """Enter what the model asked for; it is sent later. Raises ToolRejected."""
        resolved = resolve(name, arguments, tools, things, player_id)
        tool = tools[resolved.name]
        call = self._ledger.open(turn_id, resolved, timeout_ms=tool.timeout_ms)
        self._intercom.open_call(call.call_id, self._npc_id)
        if tool.needs_result:
            self._awaited[call.call_id] = asyncio.get_running_loop().create_future()
        return call

    def send(self, call_id: str) -> None:
        """Send a call whose words have been heard."""
        call = self._ledger.get(call_id)
        if call is not None:
            self._send(call)
            self._note(call, "sent")

    async def result(self, call: Call) -> Call:
        """Wait for the answer to a call whose tool `needs_result`; it may be a failure or a time-out."""
        try:
            return await self._awaited[call.call_id]
        finally:
            self._awaited.pop(call.call_id, None)

    def acknowledge(self, ack: m.Ack) -> None:
        """Take the game's answer; a second one changes nothing."""
        call = self._ledger.ack(ack.call_id, ok=ack.status == "ok", message=ack.message, result=ack.result)
        if call is not None:
            self._note(call, ack.status)
            self._answer(call)

    def cancel(self, turn_id: str) -> None:
        """Let go of a turn's calls whose words were never heard."""
        for call in self._ledger.cancel(turn_id):
            self._awaited.pop(call.call_id, None)
            self._note(call, "cancelled")

    def undo(self, turn_id: str) -> None:
        """Let go of the calls of an answer that never counted: they leave no trace."""
        for call in self._ledger.cancel(turn_id):
            self._awaited.pop(call.call_id, None)

    def deeds(self, turn_id: str) -> tuple[str, ...]:
        """Return what a turn's calls did, each as a phrase."""
        return self._ledger.deeds(turn_id)

    @property
    def untold_failures(self) -> tuple[str, ...]:
        """A line for each failure since the last turn."""
        return self._ledger.untold_failures

    def told(self, failures: tuple[str, ...]) -> None:
        """These lines stood in a prompt that was answered: they are not told again."""
        self._ledger.told(failures)

    def look_at_clock(self) -> list[tuple[Call, ToolTimeout]]:
        """Send again what was not answered; return the calls whose time is up."""
        resend, given_up = self._ledger.due(self._clock())
        for call in resend:
            self._send(call)
        for call in given_up:
            self._note(call, "timeout")
            self._answer(call)
        return [
            (
                call,
                ToolTimeout(
                    f"The game did not acknowledge {call.resolved.name} within {call.timeout:.1f} s.",
                    remedy="Answer every ToolCall with an Ack.",
                ),
            )
            for call in given_up
        ]

    def _send(self, call: Call) -> None:
        self._ledger.sent(call.call_id, self._clock())
        self._send_message(
            m.ToolCall(
                npc_id=self._npc_id,
                turn_id=call.turn_id,
                call_id=call.call_id,
                name=call.resolved.name,
                arguments=call.resolved.arguments,
            )
        )

    def _answer(self, call: Call) -> None:
        waiting = self._awaited.get(call.call_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(call)

    def _note(self, call: Call, status: Any) -> None:
        now = self._wall()
        self._record(
            ToolRecord(
                call.call_id,
                self._npc_id,
                call.turn_id,
                call.resolved.name,
                call.resolved.arguments,
                status,
                called_at=now,
                settled_at=None if status == "sent" else now,
                message=call.message,
                result=call.result,
            )
        )
