"""What the event loop and the pump's thread hand each other: jobs one way, mailboxes the other."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from mythicd.engines import LlmEvent, LlmRequest, Prompt, Sampling
from mythicd.errors import ConfigError
from mythicd.llm.scheduler import Work
from mythicd.llm.schema import Tool, read_tool
from mythicd.llm.writing import Writer

Delivery = LlmEvent | Exception | None
"""What comes to a mailbox: an event, what went wrong, or None when no more will come."""


class Mailbox:
    """What the pump has for one reader, in order. Used on the event loop only; holds at most one reply."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._events: deque[Delivery] = deque()
        self._arrived = asyncio.Event()

    def put(self, events: Sequence[Delivery]) -> None:
        """Add deliveries."""
        self._events.extend(events)
        self._arrived.set()

    async def get(self) -> LlmEvent | None:
        """Return the next event, or None at the end; raise what the pump met with."""
        while not self._events:
            self._arrived.clear()
            await self._arrived.wait()
        event = self._events.popleft()
        if isinstance(event, Exception):
            raise event
        return event


@dataclass(slots=True, eq=False)
class Job:
    """One reply to be written, or one prompt to be warmed up. Made on the event loop, then the pump's."""

    npc_id: str
    prompt: Prompt
    mailbox: Mailbox
    work: Work
    tools: tuple[Tool, ...] = ()
    sampling: Sampling = field(default_factory=Sampling)
    cancelled: bool = False
    """Set by anybody, at any time; the pump drops the job before its next step."""

    # What follows is the pump's own.
    number: int = 0
    sequence: int = 0
    tokens: list[int] = field(default_factory=list)
    """The prompt."""
    stable: int = 0
    """Tokens of the prompt before the turn."""
    kept: int = 0
    """Tokens of the prompt that were in the KV cache already."""
    done: int = 0
    """Tokens in the sequence."""
    writer: Writer | None = None
    """Of a reply; a warm-up writes nothing."""

    @classmethod
    def reply(cls, request: LlmRequest, mailbox: Mailbox) -> Job:
        """Make the job of writing a reply. Raises ConfigError for a tool's schema or a sampling that cannot be used."""
        if request.sampling.max_tokens < 1 or request.sampling.repeat_penalty <= 0:
            raise ConfigError(
                f"The sampling of {request.npc_id} cannot be used: {request.sampling}.",
                remedy="max_tokens must be at least 1, and repeat_penalty above 0 (1 for none).",
            )
        tools = tuple(read_tool(spec) for spec in request.tools)
        return cls(request.npc_id, request.prompt, mailbox, "reply", tools, request.sampling)


@dataclass(frozen=True, slots=True)
class Forget:
    """Give back what the KV cache holds for a character."""

    npc_id: str
    mailbox: Mailbox
