"""Values between the event loop and the engine thread: requests and orders one way, reply queues the other."""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Mapping, Sequence
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
"""An entry of a reply queue: an event, an error, or None at the end."""


class ReplyQueue:
    """One reader's events, in order. Filled and read on the event loop; holds at most one reply."""

    def __init__(self, low: int = 0, on_low: Callable[[], None] = lambda: None) -> None:
        """`on_low` is called when reading leaves `low` events or fewer and the engine thread has set `held`."""
        self.loop = asyncio.get_running_loop()
        self.taken = 0
        """Events read so far; the engine thread compares it with the number it has delivered."""
        self.held = False
        """Whether the engine thread waits for this reader. The thread sets this and then reads `taken`; the reader
        counts and then reads this: one of them always sees the other's change."""
        self.lost = False
        """Whether the event loop was closed, so that nothing reads this any more."""
        self._low, self._on_low = low, on_low
        self._events: deque[ReplyItem] = deque()
        self._arrived = asyncio.Event()

    def put(self, events: Sequence[ReplyItem]) -> None:
        """Add events."""
        self._events.extend(events)
        self._arrived.set()

    async def get(self) -> LlmEvent | None:
        """Return the next event, or None at the end; raise an error that the engine thread has put there."""
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
    """One reply to write, or one prompt to evaluate ahead. Made on the event loop, then owned by the engine thread."""

    npc_id: str
    prompt: Prompt
    replies: ReplyQueue
    work: Work
    arrived_s: float
    """When it was submitted, on the engine thread's clock."""
    patience_s: float = 0.0
    """Of a reply: how long its first token may take."""
    ahead_tokens: int = 0
    """Of a reply: how many tokens ahead of its reader it stops; 0 for the engine's limit."""
    tools: tuple[Tool, ...] = ()
    sampling: Sampling = field(default_factory=Sampling)
    reading: Reading | None = None
    """Of a prompt that is evaluated ahead: where to report progress."""
    cancelled: bool = False
    """May be set by any thread at any time; the engine thread drops the request before its next step."""

    # The fields below are used by the engine thread only.
    number: int = 0
    sequence: int = 0
    parts: Tokenised | None = None
    """The prompt's tokens; set by `Admission.check_prompt`."""
    kept: int = 0
    """Tokens of the prompt that were in the KV cache already."""
    done: int = 0
    """Tokens in the sequence."""
    line_ends: tuple[int, ...] = ()
    """With `reading`: after how many tokens each line of the last message ends, except the last line."""
    lacks_cells: bool = False
    """Of a waiting reply: whether it waits for cells of the KV cache, or a sequence, that others hold."""
    delivered: int = 0
    """Events handed over to the reply queue."""
    decoding: Decoding | None = None
    """Of a reply only."""

    @classmethod
    def reply(cls, request: LlmRequest, replies: ReplyQueue, now: float) -> Request:
        """Make a request for a reply. Raises ConfigError for an invalid tool, sampling, patience or `ahead_tokens`."""
        if request.sampling.max_tokens < 1 or request.sampling.repeat_penalty <= 0:
            raise ConfigError(
                f"The sampling of {request.npc_id} is invalid: {request.sampling}.",
                remedy="Set max_tokens to at least 1, and repeat_penalty above 0 (1 for none).",
            )
        if isnan(request.patience_s):
            raise ConfigError(f"The patience of {request.npc_id} is not a number.", remedy="Give it in seconds.")
        if request.ahead_tokens < 0:
            raise ConfigError(
                f"ahead_tokens of {request.npc_id} is {request.ahead_tokens}.",
                remedy="Set it to at least 1, or to 0 for the engine's own limit.",
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
        """Note that `done` of its tokens have been evaluated, and report progress."""
        self.done = done
        if self.reading is not None:
            self.reading.lines = bisect_right(self.line_ends, done)

    @property
    def deadline_s(self) -> float:
        """When its first token is due."""
        return self.arrived_s + self.patience_s

    @property
    def yields_s(self) -> float:
        """Until when a reply that waits for cells keeps less urgent ones from taking them: half its patience."""
        return self.arrived_s + self.patience_s / 2


@dataclass(frozen=True, slots=True)
class Rollback:
    """Remove this character's turn from the KV cache."""

    npc_id: str
    replies: ReplyQueue


@dataclass(frozen=True, slots=True)
class Park:
    """Move a character's KV cache to host memory."""

    npc_id: str
    replies: ReplyQueue


@dataclass(frozen=True, slots=True)
class Forget:
    """Free everything that is held for a character."""

    npc_id: str
    replies: ReplyQueue


@dataclass(frozen=True, slots=True)
class Refocus:
    """Set how much a character matters."""

    npc_id: str
    focus: Focus


@dataclass(frozen=True, slots=True)
class Nudge:
    """Wake the thread: a reader has caught up, or a request was cancelled."""


Order = Rollback | Park | Forget
"""A command that is answered with None in its reply queue when it is done."""
Command = Request | Order | Refocus | Nudge


@dataclass(frozen=True, slots=True)
class EngineSnapshot:
    """The requests and the KV cache of an engine at one moment; all zero for an engine that is not running."""

    running: int = 0
    """Requests in the scheduler: replies, prepares and warm-ups."""
    waiting: int = 0
    """Replies that wait to be admitted."""
    waiting_for_cells: int = 0
    """Those of them that wait for cells, or a sequence, that others hold."""
    sequences: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """For each character and root in the KV cache its sequence, and how many tokens are in it."""
    parked: Mapping[str, int] = field(default_factory=dict)
    """For each parked character its tokens, including those of its shared prefix."""
    cells: int = 0
    """Cells of the KV cache."""
    free_cells: int = 0

    def tokens(self, owner: str) -> int:
        """Return how many tokens are held for an owner, in the KV cache or parked."""
        return self.sequences[owner][1] if owner in self.sequences else self.parked.get(owner, 0)


def fresh_error(error: Exception) -> MythicError:
    """Return a new error for one reader; an unexpected one is logged with its traceback."""
    if isinstance(error, MythicError):
        return type(error)(error.what, remedy=error.remedy)
    log.error("Unexpected error in the language model.", exc_info=error)
    return EngineError(f"Unexpected error in the language model: {error!r}.")


def stopped_error() -> EngineError:
    """Return the error of a request to an engine that was stopped."""
    return EngineError("The language model was stopped.")


def taken_out_error(npc_id: str) -> EngineError:
    """Return the error of a reply whose character was forgotten."""
    return EngineError(f"{npc_id} was removed from the language model while it was writing.")
