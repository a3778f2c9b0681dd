"""Language models: the `Llm` Protocol, prompts, requests and the events of a reply."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from mythicd.telemetry.counters import LlmCounters

# --- hearing ---------------------------------------------------------------------------------------------------------


# --- remembering -----------------------------------------------------------------------------------------------------


# --- thinking --------------------------------------------------------------------------------------------------------

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of a conversation, before any chat template."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt in the order in which its parts change, slowest first.

    `world` + `character` are the system message; `world` is equal for every character of a world, so an engine can
    evaluate it once and share it. `turn` is the ephemeral end: it is replaced by the plain words afterwards.
    """

    world: str
    character: str
    history: tuple[ChatMessage, ...] = ()
    turn: tuple[ChatMessage, ...] = ()
    """Normally one user message; after a tool result: user, assistant (so far), tool."""
    adapter: str | None = None
    """Path of a LoRA adapter (GGUF) with which all of it is evaluated: what one adapter made of a text in the KV cache
    is of no use to another. Ignored by engines without the ability."""


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as the model sees it: its arguments are names, as a person would say them."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    """JSON Schema of the arguments the model writes."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen."""

    temperature: float = 0.7
    """0 means greedy."""
    top_p: float = 0.9
    repeat_penalty: float = 1.1
    max_tokens: int = 128
    seed: int = 0
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LlmRequest:
    """One reply to be written."""

    npc_id: str
    turn_id: str
    prompt: Prompt
    tools: tuple[ToolSpec, ...] = ()
    sampling: Sampling = field(default_factory=Sampling)
    patience_s: float = 10.0
    """Seconds in which its first token must come: what waits longer, for room or for others, ends with Busy."""
    ahead_tokens: int = 0
    """Most tokens it may be ahead of its reader before it stops, until the reader reads on; 0 for the engine's own
    limit, which none exceeds. For what is written before anybody knows whether it counts. Counted in events, which
    are tokens but for a tool call: that is one, however long."""


@dataclass(frozen=True, slots=True)
class Focus:
    """How much a character matters just now: what goes first, and what may go when memory runs short."""

    on_screen: bool = True
    """Whether the player sees it."""
    mic: bool = False
    """Whether the player is speaking to it."""


@dataclass(frozen=True, slots=True)
class LlmAbilities:
    """What an engine can do beyond writing replies; whoever asks for them adapts where they are missing."""

    prepares: bool
    """`prepare` evaluates ahead, and `rollback` takes it back: worth calling while the player speaks."""
    places_calls: bool
    """An InlineCall comes at its place in the text; otherwise all come behind the content."""
    adapters: bool
    """`Prompt.adapter` is heeded."""


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Words to be spoken, as they come."""

    text: str


@dataclass(frozen=True, slots=True)
class InlineCall:
    """A tool call, at this place in the text. `arguments` is valid against the tool's `parameters`."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Finished:
    """The reply is whole."""

    reason: Literal["stop", "length"]
    prompt_tokens: int
    """Tokens in the whole prompt."""
    evaluated_tokens: int
    """Prompt tokens that had to be evaluated now; the rest was in the KV cache."""
    generated_tokens: int


@dataclass(frozen=True, slots=True)
class PrefillDone:
    """The prompt is evaluated; the first token is sampled next."""

    evaluated_tokens: int


LlmEvent = PrefillDone | TextDelta | InlineCall | Finished


@dataclass(slots=True)
class Reading:
    """How far a turn that is read ahead has been read. The engine writes it, at any time; anybody may look."""

    lines: int | None = None
    """Lines of the turn's last message that have been evaluated to their end; None before it is begun. Until then,
    what an earlier `prepare` has evaluated is still there."""


class Llm(Protocol):
    """Writes what characters say.

    A turn's way through the KV cache: `attend` makes the front ready (system part, history) when the character comes
    near and after each turn; `prepare` adds the turn so far while the player speaks, as often as more is known; then
    `generate` evaluates what is still missing and writes (that is the commit), or `rollback` leaves the front alone.
    """

    abilities: LlmAbilities
    """Known before `start`."""
    counters: LlmCounters
    """What it has done since it was made."""

    async def start(self) -> None:
        """Load the model. Raises EngineUnavailable or ModelError."""

    async def attend(self, npc_id: str, prompt: Prompt) -> None:
        """Make this prompt's system part and history ready in the KV cache, so that the next turn starts warm.

        Only a hint, like `prepare`: it returns early where there is no room or something more important to do.
        """

    async def prepare(self, npc_id: str, prompt: Prompt, reading: Reading | None = None) -> None:
        """Evaluate a turn of which more is to come: the last message of `prompt.turn` is open at its end.

        At the lowest priority. A later `prepare` or `generate` of this character takes over from where it got, which
        `reading` tells.
        """

    async def rollback(self, npc_id: str) -> None:
        """Take back what was prepared or written in this turn: the character holds its front again, to the token."""

    def generate(self, request: LlmRequest) -> AsyncGenerator[LlmEvent, None]:
        """Write one reply: PrefillDone, then TextDelta and InlineCall, then Finished. Closing it cancels the reply.

        A reader that does not read slows its own stream down, nobody else's. Raises Busy when there is no room for it,
        or its patience ended, and ConfigError, EngineUnavailable, ModelError or EngineError as the engine says.
        """

    def focus(self, npc_id: str, focus: Focus) -> None:
        """Tell how much this character matters from now on. Never blocks."""

    async def park(self, npc_id: str) -> None:
        """It left view: make room, and keep what it holds where it is found fast when it is wanted again."""

    async def forget(self, npc_id: str) -> None:
        """Give back everything that is held for this character."""

    async def stop(self) -> None:
        """Free the model."""


# --- speaking --------------------------------------------------------------------------------------------------------
