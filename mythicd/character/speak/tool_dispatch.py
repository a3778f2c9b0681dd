"""Tool dispatch: one character's tool calls are resolved, sent when their words were heard, acknowledged and logged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from mythicd.character.environment import CharacterContext
from mythicd.config.world_files import ToolDefinition
from mythicd.dialogue.tool_arguments import resolve
from mythicd.dialogue.tool_calls import Call, CallLedger
from mythicd.errors import ToolTimeout
from mythicd.memory.records import ToolRecord
from mythicd.wire import messages as m

log = logging.getLogger(__name__)


class ToolDispatch:
    """The calls of one character."""

    def __init__(
        self,
        context: CharacterContext,
        prefix: str,
        record: Callable[[ToolRecord], None],
    ) -> None:
        """`prefix` makes call ids unique among characters and starts of the daemon; `record` logs a call."""
        self._context = context
        self._ledger = CallLedger(prefix)
        self._record = record
        self._awaited: dict[str, asyncio.Future[Call]] = {}

    @property
    def next_deadline(self) -> float | None:
        """When `check_deadlines` has something to do, on the monotonic clock."""
        return self._ledger.next_deadline()

    @property
    def awaited(self) -> int:
        """Calls whose result a reply waits for."""
        return len(self._awaited)

    def open(
        self,
        turn_id: str,
        name: str,
        arguments: Mapping[str, Any],
        tools: Mapping[str, ToolDefinition],
    ) -> tuple[Call, bool]:
        """Enter what the model asked for, of the tools that it was offered; it is sent later. Raises ToolRejected.

        Returns (the call, whether it is new). Unless the tool is `repeatable`, the repetition of a call of the same
        turn is that call: models write a call twice, and the player would get two items.
        """
        player_id = self._context.environment.scope.player
        resolved = resolve(name, arguments, tools, self._context.world.things, player_id)
        tool = tools[resolved.name]
        earlier = None if tool.repeatable else self._ledger.same(turn_id, resolved)
        if earlier is not None:
            log.info(
                "%s called %s twice with the same arguments in one reply; the second call is dropped "
                "(`repeatable: true` in tools.yaml lets it through).",
                self._context.npc_id,
                resolved.name,
            )
            return earlier, False
        call = self._ledger.open(turn_id, resolved, timeout_ms=tool.timeout_ms)
        self._context.routes.open_call(call.call_id, self._context.npc_id)
        if tool.needs_result:
            self._awaited[call.call_id] = asyncio.get_running_loop().create_future()
        return call, True

    def send(self, call_id: str) -> None:
        """Send a call whose words have been heard."""
        call = self._ledger.get(call_id)
        if call is not None:
            self._send(call)
            self._log(call, "sent")

    async def result(self, call: Call) -> Call:
        """Wait for the answer to a call whose tool `needs_result`; it may be a failure or a time-out.

        A call that was answered before is returned at once.
        """
        waiting = self._awaited.get(call.call_id)
        if waiting is None:
            return call
        try:
            return await waiting
        finally:
            self._awaited.pop(call.call_id, None)

    def acknowledge(self, ack: m.Ack) -> None:
        """Take the game's answer; a second one changes nothing."""
        call = self._ledger.ack(ack.call_id, ok=ack.status == "ok", message=ack.message, result=ack.result)
        if call is not None:
            self._log(call, ack.status)
            self._answer(call)

    def cancel(self, turn_id: str) -> None:
        """Cancel a turn's calls whose words were never heard."""
        for call in self._ledger.cancel(turn_id):
            self._awaited.pop(call.call_id, None)
            self._log(call, "cancelled")

    def undo(self, turn_id: str) -> None:
        """Cancel the calls of a response that was never committed: they are not logged."""
        for call in self._ledger.cancel(turn_id):
            self._awaited.pop(call.call_id, None)

    def deeds(self, turn_id: str) -> tuple[str, ...]:
        """Return what a turn's calls did, each as a phrase."""
        return self._ledger.deeds(turn_id)

    @property
    def untold_failures(self) -> tuple[str, ...]:
        """A line for each failure since the last turn."""
        return self._ledger.untold_failures

    def mark_told(self, failures: tuple[str, ...]) -> None:
        """These lines stood in a prompt that was answered: they are not told again."""
        self._ledger.told(failures)

    def check_deadlines(self) -> None:
        """Send again what was not acknowledged; give up calls whose time is over, and tell the client."""
        resend, given_up = self._ledger.due(self._context.clock())
        for call in resend:
            self._send(call)
        for call in given_up:
            self._log(call, "timeout")
            self._answer(call)
        for call in given_up:
            error = ToolTimeout(
                f"The game did not acknowledge {call.resolved.name} within {call.timeout:.1f} s.",
                remedy="Answer every ToolCall with an Ack.",
            )
            self._context.send_error(error, call.turn_id, call.call_id)

    def _send(self, call: Call) -> None:
        self._ledger.sent(call.call_id, self._context.clock())
        self._context.outlet.send(
            m.ToolCall(
                npc_id=self._context.npc_id,
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

    def _log(self, call: Call, status: Any) -> None:
        now = self._context.wall()
        self._record(
            ToolRecord(
                call.call_id,
                self._context.npc_id,
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
