"""Who runs next: the policy that makes each step's batch.

One step of the model evaluates one batch, and a batch may mix tokens of many streams. A *reply* first has its prompt
evaluated (prefill), then writes one token a step (decode). A *warm-up* only has a prompt evaluated, ahead of need.

    each step  =  one token for every stream that writes  +  a chunk of somebody's prompt

So a newcomer's long prompt never stops those who speak: it is taken in chunks beside them, small ones while anybody
speaks (a step lasts as long as its tokens take, and each step is one token for every speaker) and large ones otherwise.
The chunk goes to the oldest reply first, then the next; warm-ups get what no reply wants, and nothing of the chunk
while a reply's prompt is waiting.

Nothing here knows of time, tokens' values or the model. A cancelled stream is simply not in the next batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mythicd.errors import Busy

Work = Literal["reply", "warm-up"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds a step."""

    streams: int = 8
    """Replies at once; one more is refused with Busy. As many warm-ups may wait beside them."""
    chunk: int = 32
    """Prompt tokens in a step while any stream writes."""
    chunk_alone: int = 256
    """Prompt tokens in a step while none does."""


@dataclass(frozen=True, slots=True)
class Slice:
    """A stream's part of the next batch."""

    stream: int
    tokens: int
    """How many of its next tokens; 1 for a stream that writes."""


@dataclass(slots=True)
class _Stream:
    work: Work
    left: int
    """Prompt tokens still to be evaluated; 0 while writing."""


class Scheduler:
    """Knows the streams in the order of their arrival, and how much of each prompt is left."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._streams: dict[int, _Stream] = {}

    def __len__(self) -> int:
        return len(self._streams)

    def require_room(self, work: Work) -> None:
        """Raise Busy if one more stream of this kind would be too many."""
        if sum(stream.work == work for stream in self._streams.values()) >= self._limits.streams:
            raise Busy(
                f"The language model has {self._limits.streams} {work} streams already.",
                remedy="Try again when one has ended.",
            )

    def add(self, stream: int, work: Work, prompt_tokens: int) -> None:
        """Take in a stream of which so many prompt tokens are to be evaluated, at least one. Raises Busy."""
        if stream in self._streams or prompt_tokens < 1:
            raise ValueError(f"stream {stream} with {prompt_tokens} tokens")
        self.require_room(work)
        self._streams[stream] = _Stream(work, prompt_tokens)

    def remove(self, stream: int) -> None:
        """The stream has ended or was cancelled."""
        del self._streams[stream]

    def next_batch(self) -> list[Slice]:
        """Return what to evaluate next; empty when there is nothing to do."""
        writing = [name for name, stream in self._streams.items() if not stream.left]
        batch = [Slice(name, 1) for name in writing]
        budget = self._limits.chunk if writing else self._limits.chunk_alone
        replies = [name for name, stream in self._streams.items() if stream.left and stream.work == "reply"]
        warm_ups = [name for name, stream in self._streams.items() if stream.left and stream.work == "warm-up"]
        for name in replies or warm_ups:
            if not budget:
                break
            tokens = min(budget, self._streams[name].left)
            batch.append(Slice(name, tokens))
            budget -= tokens
        return batch

    def evaluated(self, batch: Sequence[Slice]) -> None:
        """The batch has been evaluated."""
        for part in batch:
            stream = self._streams[part.stream]
            if stream.left:
                stream.left -= part.tokens
