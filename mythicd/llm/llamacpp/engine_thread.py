"""The pump: the one thread that owns the model, and turns it over step by step.

    asyncio ── jobs, orders ──> bounded queue ──> [ receive -> schedule -> evaluate -> choose -> deliver ] ──> mailboxes
                                                   pump's thread                             one wake-up a step

A step asks the scheduler for a batch, has llama.cpp evaluate it, tells the ledger, chooses one token for each stream
whose logits are there, and has all that came of it brought to the event loop in a single wake-up (delivery.py). There
is no polling: with nothing to do the pump sleeps in its queue.

A reply for which there is no room waits, and is tried again whenever something ends; when its patience is over it is
told Busy. A job is cancelled by setting `cancelled` on it: the pump looks before each step, so a dead stream is in no
later batch. What goes wrong with one stream is raised to the reader of that stream; what goes wrong with a batch, to
the readers of all streams in it, whose sequences are given up, since nobody can tell what they hold. The thread goes
on.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np

from mythicd.engines.llm import Finished, PrefillDone
from mythicd.errors import Busy, EngineError, MythicError
from mythicd.llm.llamacpp.admission import Admission, refused
from mythicd.llm.llamacpp.chat_template import ChatTemplate
from mythicd.llm.llamacpp.context import BatchPart, Context, Model, NoCell
from mythicd.llm.llamacpp.decoding import Writer
from mythicd.llm.llamacpp.delivery import Post
from mythicd.llm.llamacpp.kv.allocator import Ledger, spare_sequences
from mythicd.llm.llamacpp.kv.cache import Cache
from mythicd.llm.llamacpp.options import LlamaOptions
from mythicd.llm.llamacpp.prompt_tokens import PromptTokens
from mythicd.llm.llamacpp.requests import Command, Delivery, Forget, Job, Mailbox, Nudge, Order, Park, Refocus, Rollback
from mythicd.llm.llamacpp.scheduler import Batch, Scheduler
from mythicd.telemetry.counters import LlmFigures

logger = logging.getLogger(__name__)

RETRY_S = 0.5
"""How often those who wait are tried again though nothing has ended."""
MOST_COMMANDS = 256
"""Commands that may wait for the pump, which takes all of them before each step."""


class Pump(threading.Thread):
    """Loads the model, runs until `stop`, and frees it."""

    def __init__(
        self, path: Path, options: LlamaOptions, figures: LlmFigures, ready: Callable[[Exception | None], None]
    ) -> None:
        """`ready` is called once, in the pump's thread: with None when the model is up, or with what went wrong."""
        super().__init__(name="mythic-llm", daemon=True)
        self._path, self._options, self._ready, self._figures = path, options, ready, figures
        self._commands: queue.SimpleQueue[Command] = queue.SimpleQueue()  # bounded where it is filled
        self._stopping = False
        self._context: Context | None = None
        self._jobs: dict[int, Job] = {}
        self._waiting: dict[Job, Busy] = {}
        """Replies for which there is no room yet, and why, in the order of their arrival."""
        self._released = False
        """Whether something ended since those were last tried."""
        self._tried_s = 0.0
        self._outbox: list[tuple[Mailbox, list[Delivery]]] = []
        self._post = Post()

    @property
    def trims(self) -> bool:
        """Whether what has been evaluated can be taken back; known when it is ready."""
        return self._ledger.trims

    def submit(self, command: Command) -> None:
        """Hand a command over. Called on the event loop. Raises Busy when too many wait, EngineError when stopped."""
        if self._stopping:
            raise _stopped()
        if self._commands.qsize() >= MOST_COMMANDS:
            raise Busy("Too many requests wait for the language model.", remedy="Try again in a moment.")
        self._commands.put(command)
        if self._stopping:  # just now, and by itself: whether it has still seen the command, nobody can tell
            raise _stopped()

    def nudge(self) -> None:
        """Wake the pump up, if it sleeps; may be called from any thread."""
        if self._commands.qsize() < MOST_COMMANDS:  # otherwise it is not asleep
            self._commands.put(Nudge())

    def stop(self) -> None:
        """Let the thread end, even from within a step; may be called from any thread. Join it afterwards."""
        self._stopping = True
        if self._context is not None:
            self._context.interrupt()
        self.nudge()

    # --- the thread ----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Load, pump, free."""
        model: Model | None = None
        try:
            try:
                self._post.start()
                model = Model(self._path, self._options)
                self._start(model)
            except Exception as error:
                self._ready(error)
                return
            self._ready(None)
            asleep = True
            while not self._stopping:
                self._receive(asleep)
                if not self._stopping:
                    asleep = not self._step()
        except Exception:  # a mistake of ours: it costs the replies there are, and must leave nobody waiting
            logger.critical("The language model's thread has ended.", exc_info=True)
        finally:
            self._stopping = True
            self._leave()
            self._post.close()
            if self._context is not None:
                self._context.close()
            if model is not None:
                model.close()

    def _start(self, model: Model) -> None:
        options, vocabulary = self._options, model.vocabulary
        source = model.chat_template if options.chat_template is None else options.chat_template
        self._model = model
        template = ChatTemplate(source, bos=vocabulary.bos, eos=vocabulary.eos, markers=vocabulary.control)
        framing = {vocabulary.control[marker] for marker in template.frame_markers() & vocabulary.control.keys()}
        prompts = PromptTokens(template, vocabulary.tokenise, vocabulary.bos if vocabulary.adds_bos else "")
        bound = options.n_ctx if options.kv_unified else options.n_ctx // options.n_seq_max
        longest = min(options.longest or bound, model.trained_context or bound, bound)
        trims = model.trims(longest)
        context = self._context = Context(
            model, options, options.n_seq_max + spare_sequences(options.kv_unified, trims)
        )
        park_cells = options.park_bytes // model.kv_bytes(options.kv_q8) if trims else 0
        self._ledger = Ledger(
            context.cells, options.n_seq_max, unified=options.kv_unified, trims=trims, park_cells=park_cells
        )
        limits = options.limits
        self._scheduler = Scheduler(replace(limits, chunk=min(limits.chunk, context.batch - limits.streams)))
        self._cache = Cache(context, self._ledger, self._figures)
        self._tidies = options.gpu_layers == 0 if options.park_idle is None else options.park_idle
        self._admission = Admission(
            model,
            prompts,
            self._cache,
            self._scheduler,
            self._figures,
            longest,
            tuple(sorted(framing - vocabulary.ends)),
            self._tidies,
        )
        # The first evaluation allocates and touches memory: that is not for the first player to wait for.
        context.evaluate([BatchPart(0, 0, [0, 0], True)])
        context.clear()

    def _leave(self) -> None:
        """Tell everybody who waits that nothing more comes."""
        for job in (*self._jobs.values(), *self._waiting):
            self._refuse(job, _stopped())
            if job.writer is not None:
                job.writer.close()
        figures = self._figures
        figures.writing = figures.waiting = figures.cells_used = figures.parked = figures.parked_bytes = 0
        while True:
            try:
                command = self._commands.get_nowait()
            except queue.Empty:
                break
            if isinstance(command, Job | Order):
                self._outbox.append((command.mailbox, [_stopped()]))
        self._deliver()

    # --- commands ------------------------------------------------------------------------------------------------

    def _receive(self, asleep: bool) -> None:
        """Take all commands that wait; with nothing to do, tidy up, and sleep until there is one, or time is up."""
        while asleep and self._tidies and self._commands.empty() and self._cache.tidy():
            pass  # one at a time: whoever calls meanwhile waits for milliseconds
        patience = None
        if asleep and self._waiting:
            now = time.monotonic()
            moments = [job.deadline_s for job in self._waiting]
            moments += [job.yields_s for job in self._waiting if job.lacks_cells and job.yields_s > now]
            patience = min(max(0.0, min(moments) - now), threading.TIMEOUT_MAX)
        while not self._stopping and (asleep or not self._commands.empty()):
            try:
                command = self._commands.get(block=asleep, timeout=patience)
            except queue.Empty:
                break
            asleep = False
            self._drop_cancelled()
            self._take(command)
        self._deliver()

    def _take(self, command: Command) -> None:
        match command:
            case Job():
                try:
                    self._enter(command)
                except MythicError as error:
                    self._refuse(command, error)
                except Exception as error:  # one request's trouble must not end the thread
                    self._refuse(command, _as_engine_error(error))
            case Rollback(npc_id) | Park(npc_id) | Forget(npc_id):
                try:
                    self._obey(command, npc_id)
                    self._outbox.append((command.mailbox, [None]))
                except Exception as error:
                    self._outbox.append((command.mailbox, [_as_engine_error(error)]))
            case Refocus(npc_id, focus):
                self._scheduler.focus(npc_id, focus, time.monotonic())
                self._ledger.look(npc_id, on_screen=focus.on_screen)
                self._released = True  # whoever waits may have come to another place in the line

    def _enter(self, job: Job) -> None:
        """Take in a new job: it runs, it waits, or it is refused by what this raises, without harm to anybody."""
        if job.cancelled:
            return
        self._admission.look(job)
        self._end_ahead(job.npc_id)  # this goes on from where that got
        if job.work != "reply":
            if self._admission.is_needless(job):
                self._outbox.append((job.mailbox, [None]))
                return
            try:
                self._seat(job)
            except Busy:
                self._outbox.append((job.mailbox, [None]))
            return
        now = time.monotonic()
        self._admit_waiting(now)  # who came first goes first
        try:
            first = self._first_in_line(job, now)
            if first is not None:
                raise _as_engine_error(self._waiting[first])
            self._seat(job)
        except Busy as busy:
            if len(self._waiting) >= self._options.limits.waiting:
                raise
            self._waiting[job] = busy

    def _seat(self, job: Job) -> None:
        if job.work == "reply":
            job.lacks_cells = False
            self._scheduler.require_room(job.prompt.adapter)  # which nothing that is done ahead takes
        try:
            runs = self._admission.seat(job, time.monotonic())
        except Busy:
            ahead = {other.npc_id for other in self._jobs.values() if other.work != "reply"}
            if job.work != "reply" or not ahead or not self._admission.would_fit(job, ahead):
                job.lacks_cells = not self._ledger.is_busy(job.npc_id)  # else it waits for its own character
                raise
            self._end_ahead()
            runs = self._admission.seat(job, time.monotonic())
        if runs:
            self._jobs[job.number] = job
        else:
            self._outbox.append((job.mailbox, [None]))

    def _admit_waiting(self, now: float) -> None:
        """Refuse those whose time is up; let those in who fit now, the most urgent first."""
        for job in [job for job in self._waiting if job.deadline_s <= now]:
            self._refuse(job, refused(job, self._waiting.pop(job)))
            self._released = True  # nobody waits behind it any more
        # Something has ended; or the model has become faster, which is what a voice too many waits for (step_times.py).
        if self._released or now - self._tried_s > RETRY_S:
            self._released, self._tried_s = False, now
            urgent = sorted(self._waiting, key=lambda job: (-self._scheduler.priority(job.npc_id, now), job.arrived_s))
            for job in urgent:
                if self._first_in_line(job, now) is not None:
                    continue
                try:
                    self._seat(job)
                except Busy as busy:
                    self._waiting[job] = busy
                    continue
                except Exception as error:
                    self._refuse(job, _as_engine_error(error))
                del self._waiting[job]

    def _first_in_line(self, job: Job, now: float) -> Job | None:
        """Return who waits for cells and is to have them before this reply: otherwise one that needs many would be
        overtaken for ever by those that need few. Until it yields: they may be held longer than it waits."""

        def order(other: Job) -> tuple[int, float, int]:
            return -self._scheduler.priority(other.npc_id, now), other.arrived_s, id(other)

        waiting = (other for other in self._waiting if other.lacks_cells and now < other.yields_s and other is not job)
        first = min(waiting, key=order, default=None)
        return first if first is not None and order(first) < order(job) else None

    def _obey(self, order: Order, npc_id: str) -> None:
        self._end_ahead(npc_id)
        match order:
            case Rollback():
                self._admission.rollback(npc_id)
            case Park():
                self._cache.park(npc_id)
            case Forget():
                for job in [job for job in self._jobs.values() if job.npc_id == npc_id]:
                    self._end(job, _taken_out(npc_id))
                for job in [job for job in self._waiting if job.npc_id == npc_id]:
                    del self._waiting[job]
                    self._refuse(job, _taken_out(npc_id))
                self._admission.forget(npc_id)
        self._released = True

    def _end_ahead(self, npc_id: str | None = None) -> bool:
        """End what is done ahead for this character, or all; what it has done stays. Tell whether there was any."""
        found = [job for job in self._jobs.values() if job.work != "reply" and npc_id in (None, job.npc_id)]
        for job in found:
            self._end(job, None)
        return bool(found)

    # --- one step ------------------------------------------------------------------------------------------------

    def _step(self) -> bool:
        """Make a step, if there is one to make; tell whether there may be another."""
        # All that is done here is done while the model stands still, and with cold caches: several times slower than
        # it looks.
        self._drop_cancelled()
        now = time.monotonic()
        for job in [job for job in self._jobs.values() if self._is_late(job, now)]:
            self._end(job, refused(job, None))
        if self._waiting:
            self._admit_waiting(now)
        until = min((job.deadline_s for job in self._waiting), default=inf)
        for job in self._jobs.values():
            if job.writer is not None:
                self._scheduler.read(job.number, self._ahead(job))
                if not job.writer.written:
                    until = min(until, job.deadline_s)
        batch = self._scheduler.next_batch(now, until)
        self._deliver()  # who was refused just now is not to wait for a step that may take a second
        if batch.slices:
            self._run(batch)
        self._figures.writing, self._figures.waiting = self._scheduler.writing, len(self._waiting)
        self._deliver()
        return bool(batch.slices) or (self._released and bool(self._waiting))

    def _ahead(self, job: Job) -> int:
        """Return how much of a stream its reader has not taken; where that is too much, have the reader call."""
        ahead = job.delivered - job.mailbox.taken
        if ahead >= self._options.limits.most_ahead(job.ahead_tokens):
            job.mailbox.held = True
            ahead = job.delivered - job.mailbox.taken  # it may have read on before it could know
        return ahead

    def _is_late(self, job: Job, now: float) -> bool:
        return job.writer is not None and not job.writer.written and job.deadline_s <= now

    def _run(self, batch: Batch) -> None:
        assert self._context is not None
        jobs = [self._jobs[part.stream] for part in batch.slices]
        parts = []
        for job, part in zip(jobs, batch.slices, strict=True):
            tokens = job.tokens[job.done : job.done + part.tokens]
            if not tokens and job.writer is not None:
                tokens = [job.writer.pending]
            wanted = job.writer is not None and job.done + len(tokens) >= len(job.tokens)
            parts.append(BatchPart(job.sequence, job.done, tokens, wanted))
        began = time.monotonic()
        try:
            adapter = None if batch.adapter is None else self._model.adapter(batch.adapter)
            self._figures.adapter_switches += self._context.adapt(batch.adapter, adapter)
            rows = iter(self._context.evaluate(parts))
        except Exception as error:  # whatever it was: the streams in this batch fail, and the thread goes on
            self._figures.out_of_memory += isinstance(error, NoCell)
            for job in jobs:
                self._end(job, _stopped() if self._stopping else _as_engine_error(error))
                self._cache.forget(job.npc_id)
            return
        now = time.monotonic()
        self._scheduler.evaluated(batch, now - began, now)
        self._figures.step.observe(now - began)
        for job, fed in zip(jobs, parts, strict=True):
            if job.work != "reply":
                self._figures.tokens_ahead += len(fed.tokens)
            elif job.done < len(job.tokens):
                self._figures.tokens_new += len(fed.tokens)
            self._cache.append(job.npc_id, fed.tokens)
            job.tell(job.done + len(fed.tokens))
            if job.done == len(job.tokens) and job.parts is not None:
                self._cache.pin(job.npc_id, job.parts.world)
            if job.writer is not None and fed.logits:
                self._write(job, job.writer, next(rows), now)
            elif job.work != "reply" and job.done == len(job.tokens):
                self._end(job, None)

    def _write(self, job: Job, writer: Writer, row: int, now: float) -> None:
        """Have the stream's next token chosen, and pass on what it completes."""
        assert self._context is not None
        evaluated = len(job.tokens) - job.kept
        events: list[Delivery] = []
        if not writer.written:
            events.append(PrefillDone(evaluated))
            self._figures.ttft.observe(now - job.arrived_s)
        try:
            if not writer.written and not np.isfinite(np.sum(self._context.logits(row))):
                raise EngineError(
                    f"{self._path.name} computes no numbers for {job.npc_id}.",
                    remedy=f"Its LoRA adapter {job.prompt.adapter} is damaged." if job.prompt.adapter else "",
                )
            events += writer.write(self._context, row)
        except Exception as error:  # one stream's trouble must not end the others'
            self._end(job, _as_engine_error(error))
            return
        self._figures.tokens_written += 1
        if writer.over:
            events.append(Finished(writer.over, len(job.tokens), evaluated, writer.written))
        if events:
            self._outbox.append((job.mailbox, events))
            job.delivered += len(events)
        if writer.over:
            self._end(job, None)

    # --- ends ----------------------------------------------------------------------------------------------------

    def _drop_cancelled(self) -> None:
        for job in [job for job in self._jobs.values() if job.cancelled or job.mailbox.lost]:
            self._end(job, None)
        for job in [job for job in self._waiting if job.cancelled or job.mailbox.lost] if self._waiting else ():
            del self._waiting[job]
            self._released = True
            self._figures.cancelled += 1

    def _end(self, job: Job, error: Exception | None) -> None:
        """Take a job out: it is finished, cancelled or failed. Its tokens stay, idle."""
        del self._jobs[job.number]
        self._admission.leave(job, time.monotonic())
        self._released = True
        if error is None and job.writer is not None:
            self._figures.replies += job.writer.over is not None
            self._figures.cancelled += job.writer.over is None
        self._refuse(job, error)

    def _refuse(self, job: Job, error: Exception | None) -> None:
        """Tell a job's reader that nothing more comes, and why."""
        if job.work == "reply" and error is not None:
            self._figures.refused += isinstance(error, Busy)
            self._figures.failed += not isinstance(error, Busy)
        self._outbox.append((job.mailbox, [error]))

    def _deliver(self) -> None:
        """Hand over what came of this step."""
        if self._outbox:
            self._post.send(self._outbox)
            self._outbox = []


def _as_engine_error(error: Exception) -> MythicError:
    """Return a fresh error for one reader; what nobody expected goes to the log with its traceback."""
    if isinstance(error, MythicError):
        return type(error)(error.what, remedy=error.remedy)
    logger.error("The language model met with an unexpected error.", exc_info=error)
    return EngineError(f"The language model met with an unexpected error: {error!r}.")


def _stopped() -> EngineError:
    return EngineError("The language model has been stopped.")


def _taken_out(npc_id: str) -> EngineError:
    return EngineError(f"{npc_id} was taken out of the language model while it was writing.")
