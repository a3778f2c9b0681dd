"""Admission control of one engine: a request's prompt is tokenised, allocated in the KV cache, and scheduled."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from mythicd.errors import BusyError, ConfigError
from mythicd.llm.llamacpp.context import Model
from mythicd.llm.llamacpp.decoding import Decoding
from mythicd.llm.llamacpp.kv.cache import KvCache
from mythicd.llm.llamacpp.prompt_tokens import PromptTokens, line_ends
from mythicd.llm.llamacpp.requests import Request
from mythicd.llm.llamacpp.scheduler import Scheduler
from mythicd.telemetry.counters import LlmCounters


@dataclass(slots=True)
class Admission:
    """Admits requests to the KV cache and the scheduler. Belongs to the engine thread."""

    model: Model
    prompts: PromptTokens
    cache: KvCache
    scheduler: Scheduler
    counters: LlmCounters
    longest: int
    """Most tokens in one conversation."""
    banned: tuple[int, ...]
    """Tokens that no reply may contain."""
    parked_counts: bool
    """Whether a parked character counts as warm: idle ones are parked, and restoring one takes milliseconds."""
    _prepared: dict[str, int] = field(default_factory=dict)
    """Tokens prepared for each character's turn that no reply has used yet."""
    _count: int = 0

    def check_prompt(self, request: Request) -> None:
        """Tokenise the prompt. Raises ConfigError when it is too long, ModelError for its adapter or template."""
        if request.prompt.adapter is not None:
            self.model.adapter(request.prompt.adapter)
        render = {"reply": self.prompts.whole, "prepare": self.prompts.opened, "warm-up": self.prompts.front}
        request.parts = render[request.work](request.prompt)
        if self.longest - len(request.tokens) < (request.work == "reply"):
            raise ConfigError(
                f"The prompt of {request.npc_id} has {len(request.tokens)} tokens; {self.model.path.name} takes"
                f" {self.longest} in one conversation.",
                remedy="Shorten persona, lore or history, or raise kv.max_ctx_tokens and gpu.ctx_tokens (if the model"
                " was trained for more).",
            )
        if request.reading is not None and request.prompt.turn:
            said, piece = request.prompt.turn[-1].content, self.model.tokenizer.piece
            request.line_ends = line_ends(request.tokens, said.rstrip().count("\n"), request.parts.stable, piece)

    def is_needless(self, request: Request) -> bool:
        """Tell whether a prepare or warm-up is done already, cannot run now, or would cost more than it saves.

        If the model's memory cannot be trimmed, one word that changes in a prepared turn costs the whole prefix.
        """
        allocator = self.cache.allocator
        if (
            not request.tokens
            or allocator.state.is_busy(request.npc_id)
            or (request.work == "prepare" and not allocator.state.trims)
        ):
            return True
        if not allocator.state.holds(request.npc_id, request.tokens, request.prompt.adapter, parked=self.parked_counts):
            return False
        request.tell(len(request.tokens))
        return True

    def allocate(self, request: Request, now: float) -> bool:
        """Allocate a request's sequence and add it to the scheduler; tell whether there is anything to evaluate.

        Raises Busy, changing nothing, or another error of this request.
        """
        adapter, parts = request.prompt.adapter, request.parts
        assert parts is not None
        growth = self._growth(request)
        allocation = self.cache.admit(
            request.npc_id, request.tokens, growth, adapter=adapter, logits=request.work == "reply"
        )
        if allocation.kept == len(request.tokens):  # it was parked, and has been restored
            request.tell(allocation.kept)
            self.cache.release(request.npc_id, parts.stable, parts.seed)
            return False
        try:
            if request.work == "reply":
                tokenizer, thinking = self.model.tokenizer, parts.opens_thought
                request.decoding = Decoding(
                    tokenizer, request.tools, request.sampling, growth + 1, self.banned, thinking=thinking
                )
            self._count += 1
            left = len(request.tokens) - allocation.kept
            self.scheduler.add(
                self._count, request.npc_id, request.work, left, now, adapter=adapter, ahead_tokens=request.ahead_tokens
            )
        except BaseException:
            self.cache.release(request.npc_id, 0, 0)
            self.cache.forget(request.npc_id)
            raise
        request.number, request.sequence, request.kept = self._count, allocation.sequence, allocation.kept
        request.tell(allocation.kept)
        used = max(0, allocation.kept - parts.stable)
        if request.work == "prepare":
            self._waste(request.npc_id, used)  # counts what was trimmed of the earlier hypothesis
        elif request.work == "reply":
            self._waste(request.npc_id, used)
            self._prepared.pop(request.npc_id, None)
            self.counters.tokens_reused += allocation.kept
            self.counters.queue_wait.observe(now - request.arrived_s)
        return True

    def would_fit(self, request: Request, ended: Collection[str]) -> bool:
        """Tell whether a reply could be allocated if the work of those characters had ended."""
        allocator, adapter = self.cache.allocator, request.prompt.adapter
        return allocator.fits(request.npc_id, request.tokens, self._growth(request), adapter=adapter, ended=ended)

    def leave(self, request: Request, now: float) -> None:
        """Remove a finished, cancelled or failed request. Its tokens stay in the cache, idle."""
        parts = request.parts
        assert parts is not None
        self.scheduler.remove(request.number, now)
        self.cache.release(request.npc_id, parts.stable, parts.seed, prepared=request.work == "prepare")
        if request.work == "prepare":
            self._prepared[request.npc_id] = max(0, request.done - parts.stable)
        if request.decoding is not None:
            request.decoding.close()

    def rollback(self, npc_id: str) -> None:
        """Remove what was prepared for a turn that will not come."""
        self._waste(npc_id, 0)
        self.cache.rollback(npc_id)

    def forget(self, npc_id: str) -> None:
        """Free everything that is held for a character."""
        self._waste(npc_id, 0)
        self.cache.forget(npc_id)
        self.cache.allocator.note_view(npc_id, on_screen=True)  # the default of an unknown character
        self.scheduler.forget(npc_id)

    def _growth(self, request: Request) -> int:
        """Return how many tokens a request may add after its prompt; its last token is never evaluated."""
        return (
            min(request.sampling.max_tokens, self.longest - len(request.tokens)) - 1 if request.work == "reply" else 0
        )

    def _waste(self, npc_id: str, used: int) -> None:
        self.counters.tokens_wasted += max(0, self._prepared.pop(npc_id, 0) - used)


def refused(request: Request, why: BusyError | None) -> BusyError:
    """Return the error of a reply whose patience is over; `why` is the reason it waited."""
    reason = why.what if why is not None else "Other characters had priority."
    return BusyError(
        f"{request.npc_id} could not begin to answer within {request.patience_s:g} s: {reason}",
        remedy="Try again in a moment. Let fewer characters speak at once, or use a smaller model.",
    )
