"""The engine thread: owns the model, and runs it step by step.

    event loop -- requests, orders -> bounded queue -> [receive, schedule, evaluate, sample, deliver] -> reply queues

A step evaluates one batch and samples one token for each stream whose logits are there; all results of a step reach the
event loop in a single wake-up (delivery.py). With nothing to do the thread sleeps in its queue. Cancelled requests are
dropped before each step. An error in one stream is raised to its reader, an error in a batch to the readers of all its
streams, whose sequences are given up, as their contents are unknown. The thread goes on. docs/llm.md tells more.
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
from mythicd.errors import BusyError, EngineError, MythicError
from mythicd.llm.llamacpp.admission import Admission, refused
from mythicd.llm.llamacpp.chat_template import ChatTemplate
from mythicd.llm.llamacpp.context import BatchPart, Context, Model, NoCell
from mythicd.llm.llamacpp.decoding import Decoding
from mythicd.llm.llamacpp.delivery import Delivery
from mythicd.llm.llamacpp.kv.allocator import KvAllocator
from mythicd.llm.llamacpp.kv.cache import KvCache
from mythicd.llm.llamacpp.kv.state import spare_sequences
from mythicd.llm.llamacpp.options import LlamaOptions
from mythicd.llm.llamacpp.prompt_tokens import PromptTokens
from mythicd.llm.llamacpp.requests import (
    Command,
    Forget,
    Nudge,
    Order,
    Park,
    Refocus,
    ReplyItem,
    ReplyQueue,
    Request,
    Rollback,
    fresh_error,
    stopped_error,
    taken_out_error,
)
from mythicd.llm.llamacpp.scheduler import Batch, Scheduler
from mythicd.llm.llamacpp.waiting_line import WaitingLine
from mythicd.telemetry.counters import LlmCounters

log = logging.getLogger(__name__)

MOST_COMMANDS = 256
"""Commands that may wait for the thread, which takes all of them before each step."""


class EngineThread(threading.Thread):
    """Loads the model, runs until `stop`, and frees it."""

    def __init__(
        self, path: Path, options: LlamaOptions, counters: LlmCounters, ready: Callable[[Exception | None], None]
    ) -> None:
        """`ready` is called once, in the engine thread: with None when the model is up, or with what went wrong."""
        super().__init__(name="mythic-llm", daemon=True)
        self._path, self._options, self._ready, self._counters = path, options, ready, counters
        self._commands: queue.SimpleQueue[Command] = queue.SimpleQueue()  # bounded where it is filled
        self._stopping = False
        self._context: Context | None = None
        self._requests: dict[int, Request] = {}
        self._waiting = WaitingLine(options.limits.waiting, self._priority)
        self._outbox: list[tuple[ReplyQueue, list[ReplyItem]]] = []
        self._post = Delivery()

    @property
    def trims(self) -> bool:
        """Whether what has been evaluated can be taken back; known when it is ready."""
        return self._allocator.state.trims

    def submit(self, command: Command) -> None:
        """Hand a command over. Called on the event loop. Raises Busy when too many wait, EngineError when stopped."""
        if self._stopping:
            raise stopped_error()
        if self._commands.qsize() >= MOST_COMMANDS:
            raise BusyError("Too many requests wait for the language model.", remedy="Try again in a moment.")
        self._commands.put(command)
        if self._stopping:  # just now, and by itself: whether it has still seen the command, nobody can tell
            raise stopped_error()

    def nudge(self) -> None:
        """Wake the engine thread up, if it sleeps; may be called from any thread."""
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
        """Load, engine thread, free."""
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
            log.critical("The language model's thread has ended.", exc_info=True)
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
        self._allocator = KvAllocator(
            context.cells, options.n_seq_max, unified=options.kv_unified, trims=trims, park_cells=park_cells
        )
        limits = options.limits
        self._scheduler = Scheduler(replace(limits, chunk=min(limits.chunk, context.batch - limits.streams)))
        self._cache = KvCache(context, self._allocator, self._counters)
        self._tidies = options.gpu_layers == 0 if options.park_idle is None else options.park_idle
        self._admission = Admission(
            model,
            prompts,
            self._cache,
            self._scheduler,
            self._counters,
            longest,
            tuple(sorted(framing - vocabulary.ends)),
            self._tidies,
        )
        # The first evaluation allocates and touches memory: that is not for the first player to wait for.
        context.evaluate([BatchPart(0, 0, [0, 0], True)])
        context.clear()

    def _leave(self) -> None:
        """Tell everybody who waits that nothing more comes."""
        for request in (*self._requests.values(), *self._waiting):
            self._refuse(request, stopped_error())
            if request.writer is not None:
                request.writer.close()
        counters = self._counters
        counters.writing = counters.waiting = counters.cells_used = counters.parked = counters.parked_bytes = 0
        while True:
            try:
                command = self._commands.get_nowait()
            except queue.Empty:
                break
            if isinstance(command, Request | Order):
                self._outbox.append((command.replies, [stopped_error()]))
        self._deliver()

    def _priority(self, npc_id: str, now_s: float) -> int:
        return self._scheduler.priority(npc_id, now_s)

    # --- commands ------------------------------------------------------------------------------------------------

    def _receive(self, asleep: bool) -> None:
        """Take all commands that wait; with nothing to do, tidy up, and sleep until there is one, or time is up."""
        while asleep and self._tidies and self._commands.empty() and self._cache.tidy():
            pass  # one at a time: whoever calls meanwhile waits for milliseconds
        patience, now = None, time.monotonic()
        if asleep and (moment := self._waiting.next_moment_s(now)) is not None:
            patience = min(max(0.0, moment - now), threading.TIMEOUT_MAX)
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
            case Request():
                try:
                    self._enter(command)
                except MythicError as error:
                    self._refuse(command, error)
                except Exception as error:  # one request's trouble must not end the thread
                    self._refuse(command, fresh_error(error))
            case Rollback(npc_id) | Park(npc_id) | Forget(npc_id):
                try:
                    self._obey(command, npc_id)
                    self._outbox.append((command.replies, [None]))
                except Exception as error:
                    self._outbox.append((command.replies, [fresh_error(error)]))
            case Refocus(npc_id, focus):
                self._scheduler.focus(npc_id, focus, time.monotonic())
                self._allocator.look(npc_id, on_screen=focus.on_screen)
                self._waiting.is_stale = True  # the order of the line may have changed

    def _enter(self, request: Request) -> None:
        """Take in a new request: it runs, it waits, or it is refused by what this raises, without harm to anybody."""
        if request.cancelled:
            return
        self._admission.look(request)
        self._end_ahead(request.npc_id)  # this goes on from where that got
        if request.work != "reply":
            if self._admission.is_needless(request):
                self._outbox.append((request.replies, [None]))
                return
            try:
                self._seat(request)
            except BusyError:
                self._outbox.append((request.replies, [None]))
            return
        now = time.monotonic()
        self._admit_waiting(now)  # who came first goes first
        try:
            first = self._waiting.first_before(request, now)
            if first is not None:
                raise fresh_error(self._waiting.reason(first))
            self._seat(request)
        except BusyError as busy:
            self._waiting.add(request, busy)

    def _seat(self, request: Request) -> None:
        if request.work == "reply":
            request.lacks_cells = False
            self._scheduler.require_room(request.prompt.adapter)  # which nothing that is done ahead takes
        try:
            runs = self._admission.seat(request, time.monotonic())
        except BusyError:
            ahead = {other.npc_id for other in self._requests.values() if other.work != "reply"}
            if request.work != "reply" or not ahead or not self._admission.would_fit(request, ahead):
                request.lacks_cells = not self._allocator.state.is_busy(
                    request.npc_id
                )  # else it waits for its own character
                raise
            self._end_ahead()
            runs = self._admission.seat(request, time.monotonic())
        if runs:
            self._requests[request.number] = request
        else:
            self._outbox.append((request.replies, [None]))

    def _admit_waiting(self, now: float) -> None:
        """Refuse replies whose patience is over; admit those for which there is room now, the most urgent first."""
        for request in self._waiting.late(now):
            self._refuse(request, refused(request, self._waiting.remove(request)))
        for request in self._waiting.due(now):
            if self._waiting.first_before(request, now) is not None:
                continue
            try:
                self._seat(request)
            except BusyError as busy:
                self._waiting.still_waits(request, busy)
                continue
            except Exception as error:
                self._refuse(request, fresh_error(error))
            self._waiting.admitted(request)

    def _obey(self, order: Order, npc_id: str) -> None:
        self._end_ahead(npc_id)
        match order:
            case Rollback():
                self._admission.rollback(npc_id)
            case Park():
                self._cache.park(npc_id)
            case Forget():
                for request in [request for request in self._requests.values() if request.npc_id == npc_id]:
                    self._end(request, taken_out_error(npc_id))
                for request in [request for request in self._waiting if request.npc_id == npc_id]:
                    self._waiting.remove(request)
                    self._refuse(request, taken_out_error(npc_id))
                self._admission.forget(npc_id)
        self._waiting.is_stale = True

    def _end_ahead(self, npc_id: str | None = None) -> bool:
        """End what is done ahead for this character, or all; what it has done stays. Tell whether there was any."""
        found = [
            request
            for request in self._requests.values()
            if request.work != "reply" and npc_id in (None, request.npc_id)
        ]
        for request in found:
            self._end(request, None)
        return bool(found)

    # --- one step ------------------------------------------------------------------------------------------------

    def _step(self) -> bool:
        """Make a step, if there is one to make; tell whether there may be another."""
        # All that is done here is done while the model stands still, and with cold caches: several times slower than
        # it looks.
        self._drop_cancelled()
        now = time.monotonic()
        for request in [request for request in self._requests.values() if self._is_late(request, now)]:
            self._end(request, refused(request, None))
        if len(self._waiting):
            self._admit_waiting(now)
        until = min((request.deadline_s for request in self._waiting), default=inf)
        for request in self._requests.values():
            if request.writer is not None:
                self._scheduler.read(request.number, self._ahead(request))
                if not request.writer.written:
                    until = min(until, request.deadline_s)
        batch = self._scheduler.next_batch(now, until)
        self._deliver()  # who was refused just now is not to wait for a step that may take a second
        if batch.slices:
            self._run(batch)
        self._counters.writing, self._counters.waiting = self._scheduler.writing, len(self._waiting)
        self._deliver()
        return bool(batch.slices) or (self._waiting.is_stale and len(self._waiting) > 0)

    def _ahead(self, request: Request) -> int:
        """Return how much of a stream its reader has not taken; where that is too much, have the reader call."""
        ahead = request.delivered - request.replies.taken
        if ahead >= self._options.limits.most_ahead(request.ahead_tokens):
            request.replies.held = True
            ahead = request.delivered - request.replies.taken  # it may have read on before it could know
        return ahead

    def _is_late(self, request: Request, now: float) -> bool:
        return request.writer is not None and not request.writer.written and request.deadline_s <= now

    def _run(self, batch: Batch) -> None:
        assert self._context is not None
        requests = [self._requests[part.stream] for part in batch.slices]
        parts = []
        for request, part in zip(requests, batch.slices, strict=True):
            tokens = request.tokens[request.done : request.done + part.tokens]
            if not tokens and request.writer is not None:
                tokens = [request.writer.pending]
            wanted = request.writer is not None and request.done + len(tokens) >= len(request.tokens)
            parts.append(BatchPart(request.sequence, request.done, tokens, wanted))
        began = time.monotonic()
        try:
            adapter = None if batch.adapter is None else self._model.adapter(batch.adapter)
            self._counters.adapter_switches += self._context.adapt(batch.adapter, adapter)
            rows = iter(self._context.evaluate(parts))
        except Exception as error:  # whatever it was: the streams in this batch fail, and the thread goes on
            self._counters.out_of_memory += isinstance(error, NoCell)
            for request in requests:
                self._end(request, stopped_error() if self._stopping else fresh_error(error))
                self._cache.forget(request.npc_id)
            return
        now = time.monotonic()
        self._scheduler.evaluated(batch, now - began, now)
        self._counters.step.observe(now - began)
        for request, fed in zip(requests, parts, strict=True):
            if request.work != "reply":
                self._counters.tokens_ahead += len(fed.tokens)
            elif request.done < len(request.tokens):
                self._counters.tokens_new += len(fed.tokens)
            self._cache.append(request.npc_id, fed.tokens)
            request.tell(request.done + len(fed.tokens))
            if request.done == len(request.tokens) and request.parts is not None:
                self._cache.pin(request.npc_id, request.parts.world)
            if request.writer is not None and fed.logits:
                self._write(request, request.writer, next(rows), now)
            elif request.work != "reply" and request.done == len(request.tokens):
                self._end(request, None)

    def _write(self, request: Request, writer: Decoding, row: int, now: float) -> None:
        """Have the stream's next token chosen, and pass on what it completes."""
        assert self._context is not None
        evaluated = len(request.tokens) - request.kept
        events: list[ReplyItem] = []
        if not writer.written:
            events.append(PrefillDone(evaluated))
            self._counters.ttft.observe(now - request.arrived_s)
        try:
            if not writer.written and not np.isfinite(np.sum(self._context.logits(row))):
                raise EngineError(
                    f"{self._path.name} computes no numbers for {request.npc_id}.",
                    remedy=f"Its LoRA adapter {request.prompt.adapter} is damaged." if request.prompt.adapter else "",
                )
            events += writer.write(self._context, row)
        except Exception as error:  # one stream's trouble must not end the others'
            self._end(request, fresh_error(error))
            return
        self._counters.tokens_written += 1
        if writer.over:
            events.append(Finished(writer.over, len(request.tokens), evaluated, writer.written))
        if events:
            self._outbox.append((request.replies, events))
            request.delivered += len(events)
        if writer.over:
            self._end(request, None)

    # --- ends ----------------------------------------------------------------------------------------------------

    def _drop_cancelled(self) -> None:
        for request in [request for request in self._requests.values() if request.cancelled or request.replies.lost]:
            self._end(request, None)
        for request in self._waiting:
            if request.cancelled or request.replies.lost:
                self._waiting.remove(request)
                self._counters.cancelled += 1

    def _end(self, request: Request, error: Exception | None) -> None:
        """Take a request out: it is finished, cancelled or failed. Its tokens stay, idle."""
        del self._requests[request.number]
        self._admission.leave(request, time.monotonic())
        self._waiting.is_stale = True
        if error is None and request.writer is not None:
            self._counters.replies += request.writer.over is not None
            self._counters.cancelled += request.writer.over is None
        self._refuse(request, error)

    def _refuse(self, request: Request, error: Exception | None) -> None:
        """Tell a request's reader that nothing more comes, and why."""
        if request.work == "reply" and error is not None:
            self._counters.refused += isinstance(error, BusyError)
            self._counters.failed += not isinstance(error, BusyError)
        self._outbox.append((request.replies, [error]))

    def _deliver(self) -> None:
        """Hand over what came of this step."""
        if self._outbox:
            self._post.send(self._outbox)
            self._outbox = []
