"""What the event loop and the engine thread hand each other: requests and orders one way, reply queues the other."""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import isnan

from mythicd.engines.llm import Focus, LlmEvent, LlmRequest, Prompt, Reading, Sampling
from mythicd.errors import ConfigError, EngineError, MythicError
from mythicd.llm.llamacpp.decoding import Decoding
from mythicd.llm.llamacpp.prompt_tokens import Tokenised
from mythicd.llm.llamacpp.scheduler import Work
from mythicd.llm.tool_schema import Tool, read_tool

log = logging.getLogger(__name__)

ReplyItem = LlmEvent | Exception | None
"""What comes to a reply queue: an event, what went wrong, or None when no more will come."""


class ReplyQueue:
    """What the engine thread has for one reader, in order. Filled and read on the event loop; holds at most one
    reply."""

    def __init__(self, low: int = 0, on_low: Callable[[], None] = lambda: None) -> None:
        """`on_low` is called when reading leaves `low` deliveries or fewer and the engine thread has set `held`."""
        self.loop = asyncio.get_running_loop()
        self.taken = 0
        """Deliveries read so far; the engine thread compares it with what it has handed over."""
        self.held = False
        """Whether the engine thread waits for this reader. It looks at `taken` again after setting this, and the reader
        looks at this after counting: one of the two always sees the other."""
        self.lost = False
        """Whether the event loop was closed: nobody will ever read this."""
        self._low, self._on_low = low, on_low
        self._events: deque[ReplyItem] = deque()
        self._arrived = asyncio.Event()

    def put(self, events: Sequence[ReplyItem]) -> None:
        """Add deliveries."""
        self._events.extend(events)
        self._arrived.set()

    async def get(self) -> LlmEvent | None:
        """Return the next event, or None at the end; raise what the engine thread met with."""
        while not self._events:
            self._arrived.clear()
            await self._arrived.wait()
        event = self._events.popleft()
        self.taken += 1
        if self.held and len(self._events) <= self._low:
            self.held = False
            self._on_low()
        if isinstance(event, Exception):
            raise event
        return event


@dataclass(slots=True, eq=False)
class Request:
    """One reply to be written, or one prompt to be evaluated ahead. Made on the event loop, then the engine
    thread's."""

    npc_id: str
    prompt: Prompt
    replies: ReplyQueue
    work: Work
    arrived_s: float
    """When it was asked for, on the engine thread's clock."""
    patience_s: float = 0.0
    """Of a reply: how long its first token may take."""
    ahead_tokens: int = 0
    """Of a reply: how far ahead of its reader it asked to stop; 0 for the limit of all."""
    tools: tuple[Tool, ...] = ()
    sampling: Sampling = field(default_factory=Sampling)
    reading: Reading | None = None
    """Of a prompt that is evaluated ahead: where to tell how far it is."""
    cancelled: bool = False
    """Set by anybody, at any time; the engine thread drops the request before its next step."""

    # What follows is the engine thread's own.
    number: int = 0
    sequence: int = 0
    parts: Tokenised | None = None
    """The prompt's tokens, once it has been looked at."""
    kept: int = 0
    """Tokens of the prompt that were in the KV cache already."""
    done: int = 0
    """Tokens in the sequence."""
    line_ends: tuple[int, ...] = ()
    """Where `reading` is: how many tokens each line of the last message ends at, save the open one."""
    lacks_cells: bool = False
    """Of a reply that waits: whether it is for cells of the KV cache, or a sequence, that others hold."""
    delivered: int = 0
    """What was handed over to the reply queue."""
    writer: Decoding | None = None
    """Of a reply; what is done ahead writes nothing."""

    @classmethod
    def reply(cls, request: LlmRequest, replies: ReplyQueue, now: float) -> Request:
        """Make the request of writing a reply. Raises ConfigError for what cannot be used: a tool, or a number."""
        if request.sampling.max_tokens < 1 or request.sampling.repeat_penalty <= 0:
            raise ConfigError(
                f"The sampling of {request.npc_id} cannot be used: {request.sampling}.",
                remedy="max_tokens must be at least 1, and repeat_penalty above 0 (1 for none).",
            )
        if isnan(request.patience_s):
            raise ConfigError(f"The patience of {request.npc_id} is no number.", remedy="Give it in seconds.")
        if request.ahead_tokens < 0:
            raise ConfigError(
                f"{request.npc_id} cannot be {request.ahead_tokens} tokens ahead of its reader.",
                remedy="ahead_tokens must be at least 1, or 0 for the engine's own limit.",
            )
        return cls(
            request.npc_id,
            request.prompt,
            replies,
            "reply",
            now,
            request.patience_s,
            request.ahead_tokens,
            tuple(read_tool(spec) for spec in request.tools),
            request.sampling,
        )

    @property
    def tokens(self) -> list[int]:
        """The prompt's tokens."""
        return self.parts.tokens if self.parts is not None else []

    def tell(self, done: int) -> None:
        """So many of its tokens have been evaluated."""
        self.done = done
        if self.reading is not None:
            self.reading.lines = bisect_right(self.line_ends, done)

    @property
    def deadline_s(self) -> float:
        """When its first token must be there."""
        return self.arrived_s + self.patience_s

    @property
    def yields_s(self) -> float:
        """Until when a reply that waits for cells holds them for itself: longer, and others would be late with it."""
        return self.arrived_s + self.patience_s / 2


@dataclass(frozen=True, slots=True)
class Rollback:
    """Take back what this character's turn has put in the KV cache."""

    npc_id: str
    replies: ReplyQueue


@dataclass(frozen=True, slots=True)
class Park:
    """Move what the KV cache holds for a character to host memory."""

    npc_id: str
    replies: ReplyQueue


@dataclass(frozen=True, slots=True)
class Forget:
    """Give back everything that is held for a character."""

    npc_id: str
    replies: ReplyQueue


@dataclass(frozen=True, slots=True)
class Refocus:
    """A character matters as much as this from now on."""

    npc_id: str
    focus: Focus


@dataclass(frozen=True, slots=True)
class Nudge:
    """A reader has caught up: its stream may go on."""


Order = Rollback | Park | Forget
"""What is answered with an empty reply queue when it is done."""
Command = Request | Order | Refocus | Nudge


def fresh_error(error: Exception) -> MythicError:
    """Return a new error for one reader; an unexpected one is logged with its traceback."""
    if isinstance(error, MythicError):
        return type(error)(error.what, remedy=error.remedy)
    log.error("The language model met with an unexpected error.", exc_info=error)
    return EngineError(f"The language model met with an unexpected error: {error!r}.")


def stopped_error() -> EngineError:
    """Return the error of a request to an engine that was stopped."""
    return EngineError("The language model has been stopped.")


def taken_out_error(npc_id: str) -> EngineError:
    """Return the error of a reply whose character was forgotten."""
    return EngineError(f"{npc_id} was taken out of the language model while it was writing.")
