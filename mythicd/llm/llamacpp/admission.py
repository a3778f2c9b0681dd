"""How a request comes to run: its prompt is taken apart, seated in the KV cache, and handed to the scheduler."""

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
    """The door of one engine. Belongs to the engine thread."""

    model: Model
    prompts: PromptTokens
    cache: KvCache
    scheduler: Scheduler
    counters: LlmCounters
    longest: int
    """Most tokens in one conversation."""
    banned: tuple[int, ...]
    """Tokens that no reply may have."""
    parked_counts: bool
    """Whether a character is warm that is parked: who has nothing to do is, and coming back takes milliseconds."""
    _prepared: dict[str, int] = field(default_factory=dict)
    """Tokens prepared for each character's turn that no reply has used yet."""
    _count: int = 0

    def look(self, request: Request) -> None:
        """Take the prompt apart. Raises ConfigError when it is too long, ModelError for its adapter or template."""
        if request.prompt.adapter is not None:
            self.model.adapter(request.prompt.adapter)
        render = {"reply": self.prompts.whole, "prepare": self.prompts.opened, "warm-up": self.prompts.front}
        request.parts = render[request.work](request.prompt)
        if self.longest - len(request.tokens) < (request.work == "reply"):
            raise ConfigError(
                f"The prompt of {request.npc_id} has {len(request.tokens)} tokens; {self.model.path.name} takes "
                f"{self.longest} in one conversation.",
                remedy="Shorten persona, lore or history, or raise kv.max_ctx_tokens and n_ctx if the model was trained"
                " for more.",
            )
        if request.reading is not None and request.prompt.turn:
            said, piece = request.prompt.turn[-1].content, self.model.vocabulary.piece
            request.line_ends = line_ends(request.tokens, said.rstrip().count("\n"), request.parts.stable, piece)

    def is_needless(self, request: Request) -> bool:
        """Tell whether what a request does ahead is there already, cannot be done now, or would do harm.

        Where what was read cannot be taken back, a turn of which one word comes out otherwise costs the whole front.
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

    def seat(self, request: Request, now: float) -> bool:
        """Give a request its place; tell whether there is anything to evaluate.

        Raises Busy, and then nothing has changed; else what went wrong with this request.
        """
        adapter, parts = request.prompt.adapter, request.parts
        assert parts is not None
        growth = self._growth(request)
        seat = self.cache.admit(request.npc_id, request.tokens, growth, adapter=adapter, logits=request.work == "reply")
        if seat.kept == len(request.tokens):  # it was parked, and is back
            request.tell(seat.kept)
            self.cache.release(request.npc_id, parts.stable, parts.seed)
            return False
        try:
            if request.work == "reply":
                vocabulary, thinking = self.model.vocabulary, parts.opens_thought
                request.writer = Decoding(
                    vocabulary, request.tools, request.sampling, growth + 1, self.banned, thinking=thinking
                )
            self._count += 1
            left = len(request.tokens) - seat.kept
            self.scheduler.add(
                self._count, request.npc_id, request.work, left, now, adapter=adapter, ahead_tokens=request.ahead_tokens
            )
        except BaseException:
            self.cache.release(request.npc_id, 0, 0)
            self.cache.forget(request.npc_id)
            raise
        request.number, request.sequence, request.kept = self._count, seat.sequence, seat.kept
        request.tell(seat.kept)
        used = max(0, seat.kept - parts.stable)
        if request.work == "prepare":
            self._waste(request.npc_id, used)  # what is trimmed of the earlier hypothesis
        elif request.work == "reply":
            self._waste(request.npc_id, used)
            self._prepared.pop(request.npc_id, None)
            self.counters.tokens_reused += seat.kept
            self.counters.queue_wait.observe(now - request.arrived_s)
        return True

    def would_fit(self, request: Request, ended: Collection[str]) -> bool:
        """Tell whether a reply would find a place if what is being done for those characters had ended."""
        allocator, adapter = self.cache.allocator, request.prompt.adapter
        return allocator.fits(request.npc_id, request.tokens, self._growth(request), adapter=adapter, ended=ended)

    def leave(self, request: Request, now: float) -> None:
        """Take a request out: it is finished, cancelled or failed. Its tokens stay, idle."""
        parts = request.parts
        assert parts is not None
        self.scheduler.remove(request.number, now)
        self.cache.release(request.npc_id, parts.stable, parts.seed, prepared=request.work == "prepare")
        if request.work == "prepare":
            self._prepared[request.npc_id] = max(0, request.done - parts.stable)
        if request.writer is not None:
            request.writer.close()

    def rollback(self, npc_id: str) -> None:
        """Take back what was prepared for a turn that will not be."""
        self._waste(npc_id, 0)
        self.cache.rollback(npc_id)

    def forget(self, npc_id: str) -> None:
        """Give back everything that is held for a character."""
        self._waste(npc_id, 0)
        self.cache.forget(npc_id)
        self.cache.allocator.look(npc_id, on_screen=True)  # as anybody of whom nothing is known
        self.scheduler.forget(npc_id)

    def _growth(self, request: Request) -> int:
        """Return for how many tokens behind its prompt a request needs room; its last token is never evaluated."""
        return (
            min(request.sampling.max_tokens, self.longest - len(request.tokens)) - 1 if request.work == "reply" else 0
        )

    def _waste(self, npc_id: str, used: int) -> None:
        self.counters.tokens_wasted += max(0, self._prepared.pop(npc_id, 0) - used)


def refused(request: Request, why: BusyError | None) -> BusyError:
    """Return what a reply is told whose patience has ended."""
    reason = why.what if why is not None else "Others went first."
    return BusyError(
        f"{request.npc_id} could not begin to answer within {request.patience_s:g} s: {reason}",
        remedy="Try again in a moment; fewer characters at once, or a smaller model, answer sooner.",
    )
