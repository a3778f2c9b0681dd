"""The delivery thread: brings events to the event loops, so that the engine thread never waits for one.

Waking an event loop writes to a socket and releases the GIL meanwhile; the loop takes it and handles all its events
before the engine thread gets it back. With four streams that cost 2 ms in each step of 25 ms. Putting into a queue
keeps the GIL, and this thread gets it while llama.cpp computes.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence

from mythicd.llm.llamacpp.requests import ReplyItem, ReplyQueue

Outbox = Sequence[tuple[ReplyQueue, Sequence[ReplyItem]]]


class Delivery(threading.Thread):
    """Delivers until `close`, in order, with one wake-up of each event loop for each outbox."""

    def __init__(self) -> None:
        super().__init__(name="mythic-llm-delivery", daemon=True)
        # Bounded by its contents: there are few streams, and each stops when its reader is too far behind.
        self._outboxes: queue.SimpleQueue[Outbox | None] = queue.SimpleQueue()

    def send(self, outbox: Outbox) -> None:
        """Queue these for delivery. Called by the engine thread; does not wait."""
        self._outboxes.put(outbox)

    def close(self) -> None:
        """Deliver what was sent, then end. Blocking. Does nothing if the thread was never started."""
        if self.ident is not None:
            self._outboxes.put(None)
            self.join()

    def run(self) -> None:
        """Deliver outboxes until `close`."""
        while (outbox := self._outboxes.get()) is not None:
            for loop in {replies.loop for replies, _ in outbox}:
                mine = [(replies, events) for replies, events in outbox if replies.loop is loop]
                try:
                    loop.call_soon_threadsafe(_put_all, mine)
                except RuntimeError:  # the loop is closed: these have no reader any more
                    for replies, _ in mine:
                        replies.lost = True


def _put_all(outbox: Outbox) -> None:
    for replies, events in outbox:
        replies.put(events)
