"""The queue of replies that wait for cells of the KV cache, for a sequence, or for another reply to end.

They are tried again when something has ended, or after RETRY_S: the model may have become faster (step_times.py). Times
are monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mythicd.errors import BusyError
from mythicd.llm.llamacpp.requests import Request

RETRY_S = 0.5
"""Time after which waiting replies are tried again although nothing has ended."""


class WaitingLine:
    """Waiting replies, in order of arrival. Belongs to the engine thread."""

    def __init__(self, most: int, priority: Callable[[str, float], int]) -> None:
        """`most` replies may wait; `priority` returns a character's priority at a time, higher first."""
        self._most = most
        self._priority = priority
        self._reasons: dict[Request, BusyError] = {}
        self.is_stale = False
        """Whether something has ended, or a priority has changed, since the replies were last tried."""
        self._tried_s = 0.0

    def __len__(self) -> int:
        return len(self._reasons)

    def __iter__(self) -> Iterator[Request]:
        return iter(tuple(self._reasons))

    def add(self, request: Request, reason: BusyError) -> None:
        """Add a reply with the reason why it waits. Raises the reason when the queue is full."""
        if len(self._reasons) >= self._most:
            raise reason
        self._reasons[request] = reason

    def remove(self, request: Request) -> BusyError:
        """Remove a reply; return why it waited."""
        self.is_stale = True  # it holds others back no more
        return self._reasons.pop(request)

    def reason(self, request: Request) -> BusyError:
        """Return why a reply waits."""
        return self._reasons[request]

    def still_waits(self, request: Request, reason: BusyError) -> None:
        """Note that a reply was tried and goes on waiting, for this reason."""
        self._reasons[request] = reason

    def admitted(self, request: Request) -> None:
        """Remove a reply that has been admitted, which makes no room for others."""
        del self._reasons[request]

    def late(self, now_s: float) -> list[Request]:
        """Return the replies whose patience is over."""
        return [request for request in self._reasons if request.deadline_s <= now_s]

    def due(self, now_s: float) -> list[Request]:
        """Return the replies to try now, the most urgent first; none before something has ended, or RETRY_S."""
        if not self.is_stale and now_s - self._tried_s <= RETRY_S:
            return []
        self.is_stale, self._tried_s = False, now_s
        return sorted(self._reasons, key=lambda request: (-self._priority(request.npc_id, now_s), request.arrived_s))

    def first_before(self, request: Request, now_s: float) -> Request | None:
        """Return the reply that waits for cells and takes precedence over this one, if there is one.

        Without it, a reply that needs many cells would be overtaken forever by those that need few. It has precedence
        until `yields_s`, since the cells may be in use for longer than it waits.
        """

        def order(other: Request) -> tuple[int, float, int]:
            return -self._priority(other.npc_id, now_s), other.arrived_s, id(other)

        waiting = (
            other for other in self._reasons if other.lacks_cells and now_s < other.yields_s and other is not request
        )
        first = min(waiting, key=order, default=None)
        return first if first is not None and order(first) < order(request) else None

    def next_moment_s(self, now_s: float) -> float | None:
        """Return when the next patience or precedence ends; None when nothing waits."""
        if not self._reasons:
            return None
        moments = [request.deadline_s for request in self._reasons]
        moments += [request.yields_s for request in self._reasons if request.lacks_cells and request.yields_s > now_s]
        return min(moments)
