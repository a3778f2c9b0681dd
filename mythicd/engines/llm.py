"""Language models: the `Llm` Protocol, prompts, requests and the events of a reply."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from mythicd.telemetry.counters import LlmCounters

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of a conversation, before any chat template."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt in the order in which its parts change, slowest first.

    `world` + `character` are the system message; `world` is equal for all characters of a world, so an engine can
    evaluate it once and share it. `turn` is the ephemeral end: after the turn it is replaced by the plain words.
    """

    world: str
    character: str
    history: tuple[ChatMessage, ...] = ()
    turn: tuple[ChatMessage, ...] = ()
    """Normally one user message; after a tool result: user, assistant (so far), tool."""
    adapter: str | None = None
    """Path of a LoRA adapter (GGUF) for the whole prompt: KV cells evaluated with one adapter cannot be used with
    another. Ignored by engines without the ability."""


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as the model sees it: its arguments are spoken names."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    """JSON Schema of the arguments the model writes."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling parameters of a reply."""

    temperature: float = 0.7
    """0 means greedy."""
    top_p: float = 0.9
    repeat_penalty: float = 1.1
    max_tokens: int = 128
    seed: int = 0
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LlmRequest:
    """A request for one reply."""

    npc_id: str
    turn_id: str
    prompt: Prompt
    tools: tuple[ToolSpec, ...] = ()
    sampling: Sampling = field(default_factory=Sampling)
    patience_s: float = 10.0
    """Longest wait for the first token, in seconds; after it the reply ends with Busy."""
    ahead_tokens: int = 0
    """Most tokens that may wait for the reader before generation pauses, for speculative replies; 0 means the engine's
    own limit, which always applies. Counted in events: a token is one, and so is a whole tool call."""


@dataclass(frozen=True, slots=True)
class Focus:
    """How much a character matters now, for the order of requests and for eviction."""

    on_screen: bool = True
    """Whether the player sees it."""
    mic: bool = False
    """Whether the player is speaking to it."""


@dataclass(frozen=True, slots=True)
class LlmAbilities:
    """Optional abilities of an engine; callers adapt where one is missing."""

    prepares: bool
    """`prepare` and `rollback` have an effect, so they are worth calling while the player speaks."""
    places_calls: bool
    """An InlineCall comes at its place in the text; otherwise all come after the text."""
    adapters: bool
    """`Prompt.adapter` is used."""


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the text to be spoken."""

    text: str


@dataclass(frozen=True, slots=True)
class InlineCall:
    """A tool call, at this place in the text. `arguments` is valid against the tool's `parameters`."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of the reply."""

    reason: Literal["stop", "length"]
    prompt_tokens: int
    """Tokens in the whole prompt."""
    evaluated_tokens: int
    """Prompt tokens that were evaluated for this reply; the rest was in the KV cache."""
    generated_tokens: int


@dataclass(frozen=True, slots=True)
class PrefillDone:
    """The prompt is evaluated; the first token is sampled next."""

    evaluated_tokens: int


LlmEvent = PrefillDone | TextDelta | InlineCall | Finished


@dataclass(slots=True)
class Reading:
    """Progress of a speculative prefill. The engine writes it at any time; others read it."""

    lines: int | None = None
    """Lines of the turn's last message that are completely evaluated; None before the prefill starts. Until then, what
    an earlier `prepare` has evaluated is still in the cache."""


class Llm(Protocol):
    """A language model engine.

    A turn's way through the KV cache: `attend` evaluates the stable prefix (system part, history) when the character
    comes near and after each turn; `prepare` adds the turn so far while the player speaks, as often as more is known;
    then `generate` evaluates the rest and generates the reply (the commit), or `rollback` restores the prefix.
    """

    abilities: LlmAbilities
    """Known before `start`."""
    counters: LlmCounters
    """Its counters since it was built."""

    async def start(self) -> None:
        """Load the model. Raises EngineUnavailable or ModelError."""

    async def attend(self, npc_id: str, prompt: Prompt) -> None:
        """Evaluate this prompt's system part and history into the KV cache, so that the next turn starts warm.

        Only a hint, like `prepare`: it returns early when there is no free memory, or more important work.
        """

    async def prepare(self, npc_id: str, prompt: Prompt, reading: Reading | None = None) -> None:
        """Evaluate an unfinished turn (speculative prefill): the last message of `prompt.turn` is open at its end.

        At the lowest priority. A later `prepare` or `generate` of this character continues where this one stopped,
        which `reading` tells.
        """

    async def rollback(self, npc_id: str) -> None:
        """Remove what was prepared or generated in this turn: the cache holds exactly the character's prefix again."""

    def generate(self, request: LlmRequest) -> AsyncGenerator[LlmEvent, None]:
        """Generate one reply: PrefillDone, then TextDelta and InlineCall, then Finished. Closing it cancels the reply.

        A slow reader delays only its own stream. Raises BusyError when there is no capacity or `patience_s` has
        passed, and ConfigError, EngineUnavailable, ModelError or EngineError, depending on the engine.
        """

    def focus(self, npc_id: str, focus: Focus) -> None:
        """Set how much this character matters from now on. Never blocks."""

    async def park(self, npc_id: str) -> None:
        """Move the character's KV cache to host memory: it has left view, and may come back."""

    async def forget(self, npc_id: str) -> None:
        """Free everything that is held for this character."""

    async def stop(self) -> None:
        """Free the model."""
