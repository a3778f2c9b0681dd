"""What brings the engine thread's deliveries to the event loops, so that the engine thread never waits for one.

Waking an event loop writes to a socket, and while that is done the interpreter's lock is free: the loop takes it and
works through all it was given before the engine thread gets it back. With four streams that cost two milliseconds in
each step of 25. So the engine thread only puts its deliveries into a queue, which does not let go of the lock, and goes
on to the next step; this thread gets the lock when llama.cpp is at work.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence

from mythicd.llm.llamacpp.requests import ReplyItem, ReplyQueue

Outbox = Sequence[tuple[ReplyQueue, Sequence[ReplyItem]]]


class Delivery(threading.Thread):
    """Delivers until `close`, in order: one wake-up of each event loop for each outbox, and there is one loop."""

    def __init__(self) -> None:
        super().__init__(name="mythic-llm-post", daemon=True)
        # Bounded by what it carries: a stream stops when its reader is too far behind, and there are few streams.
        self._outboxes: queue.SimpleQueue[Outbox | None] = queue.SimpleQueue()

    def send(self, outbox: Outbox) -> None:
        """Have these delivered. Called by the engine thread; does not wait."""
        self._outboxes.put(outbox)

    def close(self) -> None:
        """Deliver what was sent, then end. Blocking. Nothing to do where it could not be started."""
        if self.ident is not None:
            self._outboxes.put(None)
            self.join()

    def run(self) -> None:
        """Deliver."""
        while (outbox := self._outboxes.get()) is not None:
            for loop in {replies.loop for replies, _ in outbox}:
                mine = [(replies, events) for replies, events in outbox if replies.loop is loop]
                try:
                    loop.call_soon_threadsafe(_put_all, mine)
                except RuntimeError:  # the loop is closed: nobody reads these any more
                    for replies, _ in mine:
                        replies.lost = True


def _put_all(outbox: Outbox) -> None:
    for replies, events in outbox:
        replies.put(events)
