"""The pump: the one thread that owns the model, and turns it over step by step.

    asyncio ── Job, Forget ──> bounded queue ──> [ receive -> schedule -> evaluate -> choose -> deliver ] ──> mailboxes
                                                  pump's thread                            one wake-up a step

A step asks the scheduler for a batch, has llama.cpp evaluate it, tells the ledger, chooses one token for each stream
whose logits are there, and hands all that came of it to the event loop in a single `call_soon_threadsafe`. There is no
polling: with nothing to do the pump sleeps in its queue.

A job is cancelled by setting `cancelled` on it: the pump looks before each step, so a dead stream is in no later batch.
What goes wrong with one stream is raised to the reader of that stream; what goes wrong with a batch, to the readers of
all streams in it, whose sequences are given up, since nobody can tell what they hold. The thread goes on.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from mythicd.engines import Finished, PrefillDone
from mythicd.errors import Busy, ConfigError, EngineError, MythicError
from mythicd.llm.jobs import Delivery, Forget, Job, Mailbox
from mythicd.llm.kv import Ledger
from mythicd.llm.llama import BatchPart, Context, LlamaOptions, Model
from mythicd.llm.prompts import PromptTokens
from mythicd.llm.scheduler import Scheduler, Slice
from mythicd.llm.template import ChatTemplate
from mythicd.llm.writing import Writer

logger = logging.getLogger(__name__)

MOST_COMMANDS = 256
"""Commands that may wait for the pump, which takes all of them before each step."""


class Pump(threading.Thread):
    """Loads the model, runs until `stop`, and frees it."""

    def __init__(self, path: Path, options: LlamaOptions, ready: Callable[[Exception | None], None]) -> None:
        """`ready` is called once, in the pump's thread: with None when the model is up, or with what went wrong."""
        super().__init__(name="mythic-llm", daemon=True)
        self._path, self._options, self._ready = path, options, ready
        self._commands: queue.Queue[Job | Forget | None] = queue.Queue(MOST_COMMANDS)
        self._stopping = False
        self._context: Context | None = None
        self._jobs: dict[int, Job] = {}
        self._outbox: list[tuple[Mailbox, list[Delivery]]] = []
        self._count = 0

    def submit(self, command: Job | Forget) -> None:
        """Hand a command over. Called on the event loop. Raises Busy when too many wait, EngineError when stopped."""
        if self._stopping:
            raise _stopped()
        try:
            self._commands.put_nowait(command)
        except queue.Full:
            raise Busy("Too many requests wait for the language model.", remedy="Try again in a moment.") from None

    def stop(self) -> None:
        """Let the thread end, even from within a step; may be called from any thread. Join it afterwards."""
        self._stopping = True
        if self._context is not None:
            self._context.interrupt()
        try:
            self._commands.put_nowait(None)
        except queue.Full:
            pass  # then the pump is not asleep, and sees `_stopping`

    # --- the thread ----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Load, pump, free."""
        model: Model | None = None
        try:
            try:
                model = Model(self._path, self._options)
                self._start(model)
            except Exception as error:
                self._ready(error)
                return
            self._ready(None)
            while not self._stopping:
                self._receive()
                if not self._stopping:
                    self._step()
        finally:
            self._stopping = True
            self._leave()
            if self._context is not None:
                self._context.close()
            if model is not None:
                model.close()

    def _start(self, model: Model) -> None:
        options, vocabulary = self._options, model.vocabulary
        source = model.chat_template if options.chat_template is None else options.chat_template
        self._vocabulary = vocabulary
        template = ChatTemplate(source, bos=vocabulary.bos, eos=vocabulary.eos, markers=vocabulary.control)
        framing = {vocabulary.control[marker] for marker in template.frame_markers()}
        self._banned = tuple(sorted(framing - vocabulary.ends))
        self._prompts = PromptTokens(template, vocabulary.tokenise, vocabulary.bos if vocabulary.adds_bos else "")
        context = Context(model, options)
        self._ledger = Ledger(context.cells, options.n_seq_max, unified=options.kv_unified, trims=model.trims)
        self._longest = min(self._ledger.longest, model.trained_context or self._ledger.longest)
        self._scheduler = Scheduler(options.limits)
        # The first evaluation allocates and touches memory: that is not for the first player to wait for.
        context.evaluate([BatchPart(0, 0, [0, 0], True)])
        context.clear()
        self._context = context

    def _leave(self) -> None:
        """Tell everybody who waits that nothing more comes."""
        for job in list(self._jobs.values()):
            self._end(job, _stopped())
        while True:
            try:
                command = self._commands.get_nowait()
            except queue.Empty:
                break
            if command is not None:
                self._outbox.append((command.mailbox, [_stopped()]))
        self._deliver()

    # --- commands ------------------------------------------------------------------------------------------------

    def _receive(self) -> None:
        """Take all commands that wait; sleep until there is one if there is nothing else to do."""
        sleep = not self._jobs
        while not self._stopping:
            try:
                command = self._commands.get(block=sleep)
            except queue.Empty:
                break
            sleep = False
            self._drop_cancelled()
            match command:
                case Job():
                    try:
                        self._admit(command)
                    except MythicError as error:
                        self._outbox.append((command.mailbox, [error]))
                    except Exception as error:  # one request's trouble must not end the thread
                        self._outbox.append((command.mailbox, [_as_engine_error(error)]))
                case Forget(npc_id, mailbox):
                    self._forget(npc_id)
                    self._outbox.append((mailbox, [None]))
        self._deliver()

    def _admit(self, job: Job) -> None:
        """Take in a new job, or raise why not; then nothing has changed for anybody else."""
        if job.cancelled:
            return
        assert self._context is not None
        warm_up = job.work == "warm-up"
        self._scheduler.require_room(job.work)
        tokens, stable = self._prompts.front(job.prompt) if warm_up else self._prompts.whole(job.prompt)
        if warm_up and (self._ledger.is_busy(job.npc_id) or self._ledger.holds(job.npc_id, tokens)):
            self._outbox.append((job.mailbox, [None]))
            return
        room = self._longest - len(tokens)
        if room < (0 if warm_up else 1):
            raise ConfigError(
                f"The prompt of {job.npc_id} has {len(tokens)} tokens; {self._path.name} takes {self._longest}"
                " in one conversation.",
                remedy="Raise n_ctx if the model was trained for more, or shorten persona, lore or history.",
            )
        self._end_warm_ups(job.npc_id)  # the reply goes on from where that got
        growth = 0 if warm_up else min(job.sampling.max_tokens, room) - 1
        try:
            admission = self._ledger.admit(job.npc_id, tokens, growth)
        except Busy:
            if warm_up or not self._end_warm_ups():
                raise
            admission = self._ledger.admit(job.npc_id, tokens, growth)
        try:
            self._context.apply(admission.operations)
            if not warm_up:
                job.writer = Writer(self._vocabulary, job.tools, job.sampling, growth + 1, self._banned)
            self._count += 1
            self._scheduler.add(self._count, job.work, len(tokens) - admission.kept)
        except BaseException:
            self._ledger.release(job.npc_id, 0)
            self._context.apply(self._ledger.forget(job.npc_id))
            raise
        job.number, job.sequence, job.tokens, job.stable = self._count, admission.sequence, tokens, stable
        job.kept = job.done = admission.kept
        self._jobs[job.number] = job

    def _end_warm_ups(self, npc_id: str | None = None) -> bool:
        """End the warm-ups of this character, or all; what they have done stays. Tell whether there were any."""
        found = [job for job in self._jobs.values() if job.work == "warm-up" and npc_id in (None, job.npc_id)]
        for job in found:
            self._end(job, None)
        return bool(found)

    def _forget(self, npc_id: str) -> None:
        assert self._context is not None
        for job in list(self._jobs.values()):
            if job.npc_id == npc_id:
                gone = EngineError(f"{npc_id} was taken out of the language model while it was writing.")
                self._end(job, gone if job.work == "reply" else None)
        self._context.apply(self._ledger.forget(npc_id))

    # --- one step ------------------------------------------------------------------------------------------------

    def _step(self) -> None:
        self._drop_cancelled()
        batch = self._scheduler.next_batch()
        if batch:
            self._run(batch)
        self._deliver()

    def _run(self, batch: Sequence[Slice]) -> None:
        assert self._context is not None
        jobs = [self._jobs[part.stream] for part in batch]
        parts = []
        for job, part in zip(jobs, batch, strict=True):
            tokens = job.tokens[job.done : job.done + part.tokens]
            if not tokens and job.writer is not None:
                tokens = [job.writer.pending]
            wanted = job.writer is not None and job.done + len(tokens) >= len(job.tokens)
            parts.append(BatchPart(job.sequence, job.done, tokens, wanted))
        try:
            rows = iter(self._context.evaluate(parts))
        except Exception as error:  # whatever it was: the streams in this batch fail, and the thread goes on
            for job in jobs:
                self._end(job, _stopped() if self._stopping else _as_engine_error(error))
                self._context.apply(self._ledger.forget(job.npc_id))
            return
        self._scheduler.evaluated(batch)
        for job, fed in zip(jobs, parts, strict=True):
            self._ledger.append(job.npc_id, fed.tokens)
            job.done += len(fed.tokens)
            if job.writer is not None and fed.logits:
                self._write(job, job.writer, next(rows))
            elif job.work == "warm-up" and job.done == len(job.tokens):
                self._end(job, None)

    def _write(self, job: Job, writer: Writer, row: int) -> None:
        """Have the stream's next token chosen, and pass on what it completes."""
        assert self._context is not None
        evaluated = len(job.tokens) - job.kept
        events: list[Delivery] = [] if writer.written else [PrefillDone(evaluated)]
        try:
            events += writer.write(self._context, row)
        except Exception as error:  # one stream's trouble must not end the others'
            self._end(job, _as_engine_error(error))
            return
        if writer.over:
            events.append(Finished(writer.over, len(job.tokens), evaluated, writer.written))
        if events:
            self._outbox.append((job.mailbox, events))
        if writer.over:
            self._end(job, None)

    # --- ends ----------------------------------------------------------------------------------------------------

    def _drop_cancelled(self) -> None:
        for job in [job for job in self._jobs.values() if job.cancelled]:
            self._end(job, None)

    def _end(self, job: Job, error: Exception | None) -> None:
        """Take a job out: it is finished, cancelled or failed. Its tokens stay, idle."""
        del self._jobs[job.number]
        self._scheduler.remove(job.number)
        self._ledger.release(job.npc_id, job.stable)
        if job.writer is not None:
            job.writer.close()
        self._outbox.append((job.mailbox, [error]))

    def _deliver(self) -> None:
        """Hand over what came of this step: one wake-up for each event loop, and there is one."""
        if not self._outbox:
            return
        outbox, self._outbox = self._outbox, []
        for loop in {mailbox.loop for mailbox, _ in outbox}:
            mine = [(mailbox, events) for mailbox, events in outbox if mailbox.loop is loop]
            try:
                loop.call_soon_threadsafe(_put_all, mine)
            except RuntimeError:  # the loop is closed: nobody reads these any more
                for job in self._jobs.values():
                    job.cancelled = job.cancelled or job.mailbox.loop is loop


def _put_all(outbox: Sequence[tuple[Mailbox, Sequence[Delivery]]]) -> None:
    for mailbox, events in outbox:
        mailbox.put(events)


def _as_engine_error(error: Exception) -> EngineError:
    """Return a fresh error for one reader; what nobody expected goes to the log with its traceback."""
    if isinstance(error, EngineError):
        return EngineError(error.what, remedy=error.remedy)
    logger.error("The language model met with an unexpected error.", exc_info=error)
    return EngineError(f"The language model met with an unexpected error: {error!r}.")


def _stopped() -> EngineError:
    return EngineError("The language model has been stopped.")
