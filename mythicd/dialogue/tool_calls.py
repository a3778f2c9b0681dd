"""The ledger of tool calls: which are pending or sent, which the game has acknowledged, and what to say of failures.

    pending --sent--> sent --Ack ok--> acked
       |               |---Ack error--> failed
       |               `---too long---> timed_out      (a later Ack still settles it)
       `--cancelled: the words before it were never heard

A call may be lost, so it is sent again under the same id; the game must act on an id once and acknowledge it each time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from mythicd.dialogue.tool_arguments import ResolvedCall, clean
from mythicd.errors import ToolError

RESENDS = 2
"""How often a call is sent again when no Ack comes. The waits double within the tool's `timeout_ms`: the second sending
is after 1/7 of it, the third after 3/7."""

REMEMBERED = 256
"""Settled calls that are kept, to recognise a second Ack."""

MOST_UNTOLD = 8
"""Failures that wait to be told to the model; of more, the oldest are dropped."""


class CallState(StrEnum):
    """The state of a call."""

    PENDING = "pending"
    """It waits for the words before it to be heard."""
    SENT = "sent"
    """It has been sent to the game."""
    ACKED = "acked"
    FAILED = "failed"
    """The game could not do it."""
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    """It was never sent: the reply was cut off before it."""


_SETTLED = frozenset((CallState.ACKED, CallState.FAILED, CallState.CANCELLED))


@dataclass(slots=True)
class Call:
    """One call and its result."""

    call_id: str
    turn_id: str
    resolved: ResolvedCall
    timeout: float
    """Seconds the game has for it."""
    state: CallState = CallState.PENDING
    sendings: int = 0
    first_sent: float = 0.0
    """Monotonic seconds."""
    message: str = ""
    """The game's reason for a failure."""
    result: Mapping[str, Any] = field(default_factory=dict)
    """The game's result."""

    @property
    def deadline(self) -> float:
        """Monotonic seconds at which it is sent again, or given up."""
        share: float = (2**self.sendings - 1) / (2 ** (RESENDS + 1) - 1)
        return self.first_sent + self.timeout * share


class CallLedger:
    """The calls of one character. Time is an argument, in monotonic seconds."""

    def __init__(self, prefix: str) -> None:
        """Take the prefix that makes ids unique among ledgers and among runs of the daemon."""
        self._prefix = prefix
        self._count = 0
        self._calls: dict[str, Call] = {}
        self._untold: dict[str, str] = {}

    def open(self, turn_id: str, resolved: ResolvedCall, *, timeout_ms: int) -> Call:
        """Add a call that is to be sent when the words before it have been heard."""
        self._count += 1
        call = Call(f"c-{self._prefix}-{self._count}", turn_id, resolved, timeout_ms / 1000)
        self._calls[call.call_id] = call
        self._forget_oldest()
        return call

    def same(self, turn_id: str, resolved: ResolvedCall) -> Call | None:
        """Return the turn's earlier call of the same tool and arguments that is under way, done, or perhaps done."""
        asked = resolved.name, resolved.arguments
        for call in self._calls.values():
            is_over = call.state in (CallState.FAILED, CallState.CANCELLED)
            if call.turn_id == turn_id and not is_over and (call.resolved.name, call.resolved.arguments) == asked:
                return call
        return None

    def sent(self, call_id: str, now: float) -> None:
        """Record that a call was sent, for the first time or again. Raises ToolError when it must not be sent."""
        call = self._calls.get(call_id)
        if call is None or call.state not in (CallState.PENDING, CallState.SENT):
            state = call.state if call else "unknown"
            raise ToolError(f"Tool call {call_id!r} cannot be sent: it is {state}.", remedy="Open a new call.")
        if call.state is CallState.PENDING:
            call.first_sent = now
        call.state = CallState.SENT
        call.sendings += 1

    def ack(self, call_id: str, *, ok: bool, message: str = "", result: Mapping[str, Any] | None = None) -> Call | None:
        """Settle a call. Returns None for a second Ack, and for an id that is unknown or was never sent.

        An Ack after the timeout still settles the call, and a failure that was not yet told is dropped.
        """
        call = self._calls.get(call_id)
        if call is None or call.state not in (CallState.SENT, CallState.TIMED_OUT):
            return None
        self._untold.pop(call_id, None)
        call.message, call.result = clean(message), dict(result or {})
        call.state = CallState.ACKED if ok else CallState.FAILED
        if not ok:
            self._fail(call)
        return call

    def cancel(self, turn_id: str) -> list[Call]:
        """Cancel a turn's calls that were not sent yet, and return them."""
        withdrawn = [c for c in self._calls.values() if c.turn_id == turn_id and c.state is CallState.PENDING]
        for call in withdrawn:
            call.state = CallState.CANCELLED
        return withdrawn

    def deeds(self, turn_id: str) -> tuple[str, ...]:
        """Return what a turn's calls did, each as a phrase: those that were sent or acknowledged."""
        done = (CallState.SENT, CallState.ACKED)
        return tuple(_purpose(c) for c in self._calls.values() if c.turn_id == turn_id and c.state in done)

    def next_deadline(self) -> float | None:
        """Return the monotonic time at which `due` will return a call; None if no call is waiting."""
        return min((c.deadline for c in self._calls.values() if c.state is CallState.SENT), default=None)

    def due(self, now: float) -> tuple[list[Call], list[Call]]:
        """Return the calls to send again, under the same id, and those that have just timed out."""
        late = [c for c in self._calls.values() if c.state is CallState.SENT and c.deadline <= now]
        resend = [c for c in late if c.sendings <= RESENDS and now < c.first_sent + c.timeout]
        given_up = [c for c in late if c not in resend]
        for call in given_up:
            call.state = CallState.TIMED_OUT
            self._fail(call)
        return resend, given_up

    def get(self, call_id: str) -> Call | None:
        """Return a call by its id."""
        return self._calls.get(call_id)

    @property
    def untold_failures(self) -> tuple[str, ...]:
        """A line for each failure not told before, for the next turn's prompt."""
        return tuple(self._untold.values())

    def told(self, failures: Collection[str]) -> None:
        """Remove these lines, which the model was told; newer failures stay."""
        self._untold = {call_id: line for call_id, line in self._untold.items() if line not in failures}

    def _fail(self, call: Call) -> None:
        self._untold[call.call_id] = _failure(call)
        while len(self._untold) > MOST_UNTOLD:
            del self._untold[next(iter(self._untold))]

    def _forget_oldest(self) -> None:
        settled = [i for i, call in self._calls.items() if call.state in _SETTLED or call.state is CallState.TIMED_OUT]
        for call_id in settled[: max(0, len(settled) - REMEMBERED)]:
            del self._calls[call_id]


def _failure(call: Call) -> str:
    """Return the failure as one line, without characters that could imitate the prompt's markup."""
    why = call.message.rstrip(".!") or ("nothing happened" if call.state is CallState.TIMED_OUT else "it did not work")
    return clean(f"You could not {_purpose(call)}: {why}.".translate({ord(mark): None for mark in "<>{}|#`"}))


def _purpose(call: Call) -> str:
    return call.resolved.purpose or call.resolved.name.replace("_", " ")
