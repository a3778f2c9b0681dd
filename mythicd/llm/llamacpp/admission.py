"""How a job comes to run: its prompt is taken apart, seated in the KV cache, and handed to the scheduler."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from mythicd.errors import Busy, ConfigError
from mythicd.llm.llamacpp.context import Model
from mythicd.llm.llamacpp.decoding import Writer
from mythicd.llm.llamacpp.kv.cache import Cache
from mythicd.llm.llamacpp.prompt_tokens import PromptTokens, line_ends
from mythicd.llm.llamacpp.requests import Job
from mythicd.llm.llamacpp.scheduler import Scheduler
from mythicd.telemetry.counters import LlmFigures


@dataclass(slots=True)
class Admission:
    """The door of one engine. Belongs to the pump's thread."""

    model: Model
    prompts: PromptTokens
    cache: Cache
    scheduler: Scheduler
    figures: LlmFigures
    longest: int
    """Most tokens in one conversation."""
    banned: tuple[int, ...]
    """Tokens that no reply may have."""
    parked_counts: bool
    """Whether a character is warm that is parked: who has nothing to do is, and coming back takes milliseconds."""
    _prepared: dict[str, int] = field(default_factory=dict)
    """Tokens prepared for each character's turn that no reply has used yet."""
    _count: int = 0

    def look(self, job: Job) -> None:
        """Take the prompt apart. Raises ConfigError when it is too long, ModelError for its adapter or template."""
        if job.prompt.adapter is not None:
            self.model.adapter(job.prompt.adapter)
        render = {"reply": self.prompts.whole, "prepare": self.prompts.opened, "warm-up": self.prompts.front}
        job.parts = render[job.work](job.prompt)
        if self.longest - len(job.tokens) < (job.work == "reply"):
            raise ConfigError(
                f"The prompt of {job.npc_id} has {len(job.tokens)} tokens; {self.model.path.name} takes {self.longest}"
                " in one conversation.",
                remedy="Shorten persona, lore or history, or raise kv.max_ctx_tokens and n_ctx if the model was trained"
                " for more.",
            )
        if job.reading is not None and job.prompt.turn:
            said, piece = job.prompt.turn[-1].content, self.model.vocabulary.piece
            job.line_ends = line_ends(job.tokens, said.rstrip().count("\n"), job.parts.stable, piece)

    def is_needless(self, job: Job) -> bool:
        """Tell whether what a job does ahead is there already, cannot be done now, or would do harm.

        Where what was read cannot be taken back, a turn of which one word comes out otherwise costs the whole front.
        """
        ledger = self.cache.ledger
        if not job.tokens or ledger.is_busy(job.npc_id) or (job.work == "prepare" and not ledger.trims):
            return True
        if not ledger.holds(job.npc_id, job.tokens, job.prompt.adapter, parked=self.parked_counts):
            return False
        job.tell(len(job.tokens))
        return True

    def seat(self, job: Job, now: float) -> bool:
        """Give a job its place; tell whether there is anything to evaluate.

        Raises Busy, and then nothing has changed; else what went wrong with this job.
        """
        adapter, parts = job.prompt.adapter, job.parts
        assert parts is not None
        growth = self._growth(job)
        seat = self.cache.admit(job.npc_id, job.tokens, growth, adapter=adapter, logits=job.work == "reply")
        if seat.kept == len(job.tokens):  # it was parked, and is back
            job.tell(seat.kept)
            self.cache.release(job.npc_id, parts.stable, parts.seed)
            return False
        try:
            if job.work == "reply":
                vocabulary, thinking = self.model.vocabulary, parts.opens_thought
                job.writer = Writer(vocabulary, job.tools, job.sampling, growth + 1, self.banned, thinking=thinking)
            self._count += 1
            left = len(job.tokens) - seat.kept
            self.scheduler.add(
                self._count, job.npc_id, job.work, left, now, adapter=adapter, ahead_tokens=job.ahead_tokens
            )
        except BaseException:
            self.cache.release(job.npc_id, 0, 0)
            self.cache.forget(job.npc_id)
            raise
        job.number, job.sequence, job.kept = self._count, seat.sequence, seat.kept
        job.tell(seat.kept)
        used = max(0, seat.kept - parts.stable)
        if job.work == "prepare":
            self._waste(job.npc_id, used)  # what is trimmed of the earlier hypothesis
        elif job.work == "reply":
            self._waste(job.npc_id, used)
            self._prepared.pop(job.npc_id, None)
            self.figures.tokens_reused += seat.kept
            self.figures.queue_wait.observe(now - job.arrived_s)
        return True

    def would_fit(self, job: Job, ended: Collection[str]) -> bool:
        """Tell whether a reply would find a place if what is being done for those characters had ended."""
        ledger, adapter = self.cache.ledger, job.prompt.adapter
        return ledger.fits(job.npc_id, job.tokens, self._growth(job), adapter=adapter, ended=ended)

    def leave(self, job: Job, now: float) -> None:
        """Take a job out: it is finished, cancelled or failed. Its tokens stay, idle."""
        parts = job.parts
        assert parts is not None
        self.scheduler.remove(job.number, now)
        self.cache.release(job.npc_id, parts.stable, parts.seed, prepared=job.work == "prepare")
        if job.work == "prepare":
            self._prepared[job.npc_id] = max(0, job.done - parts.stable)
        if job.writer is not None:
            job.writer.close()

    def rollback(self, npc_id: str) -> None:
        """Take back what was prepared for a turn that will not be."""
        self._waste(npc_id, 0)
        self.cache.rollback(npc_id)

    def forget(self, npc_id: str) -> None:
        """Give back everything that is held for a character."""
        self._waste(npc_id, 0)
        self.cache.forget(npc_id)
        self.cache.ledger.look(npc_id, on_screen=True)  # as anybody of whom nothing is known
        self.scheduler.forget(npc_id)

    def _growth(self, job: Job) -> int:
        """Return for how many tokens behind its prompt a job needs room; its last token is never evaluated."""
        return min(job.sampling.max_tokens, self.longest - len(job.tokens)) - 1 if job.work == "reply" else 0

    def _waste(self, npc_id: str, used: int) -> None:
        self.figures.tokens_wasted += max(0, self._prepared.pop(npc_id, 0) - used)


def refused(job: Job, why: Busy | None) -> Busy:
    """Return what a reply is told whose patience has ended."""
    reason = why.what if why is not None else "Others went first."
    return Busy(
        f"{job.npc_id} could not begin to answer within {job.patience_s:g} s: {reason}",
        remedy="Try again in a moment; fewer characters at once, or a smaller model, answer sooner.",
    )
