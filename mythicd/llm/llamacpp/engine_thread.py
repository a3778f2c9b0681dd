"""The engine thread: owns the model, and runs it step by step.

    event loop -- requests, orders -> bounded queue -> [receive, schedule, evaluate, sample, deliver] -> reply queues

An error in one stream is raised to its reader; an error in a batch fails all its streams and drops their sequences,
whose contents are unknown. The thread goes on (docs/llm.md, "One step of the engine thread").
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
    EngineSnapshot,
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
"""Commands that may wait for the thread, which takes all of them between two steps."""


class EngineThread(threading.Thread):
    """Loads the model, runs until `stop`, and frees it."""

    def __init__(
        self, path: Path, options: LlamaOptions, counters: LlmCounters, ready: Callable[[Exception | None], None]
    ) -> None:
        """`ready` is called once, in the engine thread: with None when the model is loaded, or with the error."""
        super().__init__(name="mythic-llm", daemon=True)
        self._path, self._options, self._ready, self._counters = path, options, ready, counters
        self._commands: queue.SimpleQueue[Command] = queue.SimpleQueue()  # bounded by `submit`
        self._stopping = False
        self._context: Context | None = None
        self._requests: dict[int, Request] = {}
        self._waiting = WaitingLine(options.limits.waiting, self._priority)
        self._outbox: list[tuple[ReplyQueue, list[ReplyItem]]] = []
        self._delivery = Delivery()

    @property
    def trims(self) -> bool:
        """Whether the end of a sequence can be removed; known when the thread is ready."""
        return self._allocator.state.trims

    def submit(self, command: Command) -> None:
        """Queue a command. Called on the event loop. Raises Busy when too many wait, EngineError when stopped."""
        if self._stopping:
            raise stopped_error()
        if self._commands.qsize() >= MOST_COMMANDS:
            raise BusyError(f"{MOST_COMMANDS} requests wait for the language model.", remedy="Try again in a moment.")
        self._commands.put(command)
        if self._stopping:  # the thread ended meanwhile, and may not have seen the command
            raise stopped_error()

    def nudge(self) -> None:
        """Wake the engine thread, if it sleeps. May be called from any thread."""
        if self._commands.qsize() < MOST_COMMANDS:  # with a full queue it is awake
            self._commands.put(Nudge())

    def stop(self) -> None:
        """End the thread, interrupting a running step. May be called from any thread. Join it afterwards."""
        self._stopping = True
        if self._context is not None:
            self._context.interrupt()
        self.nudge()

    def snapshot(self) -> EngineSnapshot:
        """Return the state of a thread that is ready; may be called from any thread, and does not wait."""
        allocator, waiting = self._allocator, tuple(self._waiting)
        return EngineSnapshot(
            running=len(self._requests),
            waiting=len(waiting),
            waiting_for_cells=sum(request.lacks_cells for request in waiting),
            sequences=allocator.state.sequences(),  # before those parked: a tail is parked first, then removed
            parked=allocator.state.parked.tokens(),
            cells=allocator.cells,
            free_cells=allocator.free_cells,
        )

    # --- the thread ----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Load the model, run it until `stop`, free it."""
        model: Model | None = None
        try:
            try:
                self._delivery.start()
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
        except Exception:  # a bug: all replies fail, and no reader may be left waiting
            log.critical("The language model's thread has ended with an error.", exc_info=True)
        finally:
            self._stopping = True
            self._leave()
            self._delivery.close()
            if self._context is not None:
                self._context.close()
            if model is not None:
                model.close()

    def _start(self, model: Model) -> None:
        options, tokenizer = self._options, model.tokenizer
        source = model.chat_template if options.chat_template is None else options.chat_template
        self._model = model
        template = ChatTemplate(source, bos=tokenizer.bos, eos=tokenizer.eos, markers=tokenizer.control)
        framing = {tokenizer.control[marker] for marker in template.frame_markers() & tokenizer.control.keys()}
        prompts = PromptTokens(template, tokenizer.tokenise, tokenizer.bos if tokenizer.adds_bos else "")
        bound = options.n_ctx if options.kv_unified else options.n_ctx // options.n_seq_max
        longest = min(options.longest or bound, model.trained_context or bound, bound)
        trims = model.trims(longest)
        sequences = options.n_seq_max + spare_sequences(options.kv_unified, trims)
        context = self._context = Context(model, options, sequences)
        park_cells = options.park_bytes // model.kv_bytes(options.kv_q8) if trims else 0
        self._allocator = KvAllocator(
            context.cells, options.n_seq_max, unified=options.kv_unified, trims=trims, park_cells=park_cells
        )
        limits = options.limits
        self._scheduler = Scheduler(replace(limits, chunk=min(limits.chunk, context.batch - limits.streams)))
        self._cache = KvCache(context, self._allocator, self._counters)
        self._tidies = options.gpu_layers == 0 if options.park_idle is None else options.park_idle
        banned = tuple(sorted(framing - tokenizer.ends))
        self._admission = Admission(
            model, prompts, self._cache, self._scheduler, self._counters, longest, banned, self._tidies
        )
        # The first evaluation allocates memory; the first player must not wait for that.
        context.evaluate([BatchPart(0, 0, [0, 0], True)])
        context.clear()

    def _leave(self) -> None:
        """Fail all requests and orders, and reset the gauges."""
        for request in (*self._requests.values(), *self._waiting):
            self._refuse(request, stopped_error())
            if request.decoding is not None:
                request.decoding.close()
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
        """Take all queued commands; when idle, park idle characters, then sleep until a command or a deadline."""
        while asleep and self._tidies and self._commands.empty() and self._cache.tidy():
            pass  # one at a time: a command that comes meanwhile waits for milliseconds
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
                except Exception as error:  # an error in one request must not end the thread
                    self._refuse(command, fresh_error(error))
            case Rollback(npc_id) | Park(npc_id) | Forget(npc_id):
                try:
                    self._apply(command, npc_id)
                    self._outbox.append((command.replies, [None]))
                except Exception as error:
                    self._outbox.append((command.replies, [fresh_error(error)]))
            case Refocus(npc_id, focus):
                self._scheduler.focus(npc_id, focus, time.monotonic())
                self._allocator.note_view(npc_id, on_screen=focus.on_screen)
                self._waiting.is_stale = True  # priorities may have changed

    def _enter(self, request: Request) -> None:
        """Admit a new request, let it wait, or refuse it by raising; other requests are not affected."""
        if request.cancelled:
            return
        self._admission.check_prompt(request)
        self._end_ahead(request.npc_id)  # its tokens are reused
        if request.work != "reply":
            if self._admission.is_needless(request):
                self._outbox.append((request.replies, [None]))
                return
            try:
                self._allocate(request)
            except BusyError:
                self._outbox.append((request.replies, [None]))
            return
        now = time.monotonic()
        self._admit_waiting(now)  # earlier replies go first
        try:
            first = self._waiting.first_before(request, now)
            if first is not None:
                raise fresh_error(self._waiting.reason(first))
            self._allocate(request)
        except BusyError as busy:
            self._waiting.add(request, busy)

    def _allocate(self, request: Request) -> None:
        if request.work == "reply":
            request.lacks_cells = False
            self._scheduler.require_room(request.prompt.adapter)  # prepares and warm-ups do not count
        try:
            runs = self._admission.allocate(request, time.monotonic())
        except BusyError:
            ahead = {other.npc_id for other in self._requests.values() if other.work != "reply"}
            if request.work != "reply" or not ahead or not self._admission.would_fit(request, ahead):
                # A busy character waits for its own earlier reply, not for cells.
                request.lacks_cells = not self._allocator.state.is_busy(request.npc_id)
                raise
            self._end_ahead()
            runs = self._admission.allocate(request, time.monotonic())
        if runs:
            self._requests[request.number] = request
        else:
            self._outbox.append((request.replies, [None]))

    def _admit_waiting(self, now: float) -> None:
        """Refuse replies whose patience is over; admit those that fit now, the most urgent first."""
        for request in self._waiting.late(now):
            self._refuse(request, refused(request, self._waiting.remove(request)))
        for request in self._waiting.due(now):
            if self._waiting.first_before(request, now) is not None:
                continue
            try:
                self._allocate(request)
            except BusyError as busy:
                self._waiting.still_waits(request, busy)
                continue
            except Exception as error:
                self._refuse(request, fresh_error(error))
            self._waiting.admitted(request)

    def _apply(self, order: Order, npc_id: str) -> None:
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

    def _end_ahead(self, npc_id: str | None = None) -> None:
        """End the prepares and warm-ups of this character, or all; keep their tokens."""
        for request in [request for request in self._requests.values() if request.work != "reply"]:
            if npc_id in (None, request.npc_id):
                self._end(request, None)

    # --- one step ------------------------------------------------------------------------------------------------

    def _step(self) -> bool:
        """Run one step, if there is work; tell whether there may be another."""
        # The model stands still while this Python runs, with cold caches: it is several times slower than it looks.
        self._drop_cancelled()
        now = time.monotonic()
        for request in [request for request in self._requests.values() if self._is_late(request, now)]:
            self._end(request, refused(request, None))
        if len(self._waiting):
            self._admit_waiting(now)
        until = min((request.deadline_s for request in self._waiting), default=inf)
        for request in self._requests.values():
            if request.decoding is not None:
                self._scheduler.read(request.number, self._ahead(request))
                if not request.decoding.written:
                    until = min(until, request.deadline_s)
        batch = self._scheduler.next_batch(now, until)
        self._deliver()  # refusals must not wait for a step, which may take a second
        if batch.slices:
            self._run(batch)
        self._counters.writing, self._counters.waiting = self._scheduler.writing, len(self._waiting)
        self._deliver()
        return bool(batch.slices) or (self._waiting.is_stale and len(self._waiting) > 0)

    def _ahead(self, request: Request) -> int:
        """Return how many events a stream's reader has not taken; at the limit, have the reader wake the thread."""
        ahead = request.delivered - request.replies.taken
        if ahead >= self._options.limits.most_ahead(request.ahead_tokens):
            request.replies.held = True
            ahead = request.delivered - request.replies.taken  # it may have read before it saw `held`
        return ahead

    def _is_late(self, request: Request, now: float) -> bool:
        return request.decoding is not None and not request.decoding.written and request.deadline_s <= now

    def _run(self, batch: Batch) -> None:
        assert self._context is not None
        requests = [self._requests[part.stream] for part in batch.slices]
        parts = []
        for request, part in zip(requests, batch.slices, strict=True):
            tokens = request.tokens[request.done : request.done + part.tokens]
            if not tokens and request.decoding is not None:
                tokens = [request.decoding.pending]
            wanted = request.decoding is not None and request.done + len(tokens) >= len(request.tokens)
            parts.append(BatchPart(request.sequence, request.done, tokens, wanted))
        began = time.monotonic()
        try:
            adapter = None if batch.adapter is None else self._model.adapter(batch.adapter)
            self._counters.adapter_switches += self._context.adapt(batch.adapter, adapter)
            rows = iter(self._context.evaluate(parts))
        except Exception as error:  # the streams in this batch fail, and the thread goes on
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
            if request.decoding is not None and fed.logits:
                self._write(request, request.decoding, next(rows), now)
            elif request.work != "reply" and request.done == len(request.tokens):
                self._end(request, None)

    def _write(self, request: Request, decoding: Decoding, row: int, now: float) -> None:
        """Choose the stream's next token, and queue the events that it completes."""
        assert self._context is not None
        evaluated = len(request.tokens) - request.kept
        events: list[ReplyItem] = []
        if not decoding.written:
            events.append(PrefillDone(evaluated))
            self._counters.ttft.observe(now - request.arrived_s)
        try:
            if not decoding.written and not np.isfinite(np.sum(self._context.logits(row))):
                raise EngineError(
                    f"{self._path.name} computed logits for {request.npc_id} that are not numbers"
                    f" (LoRA adapter: {request.prompt.adapter or 'none'}).",
                    remedy="Replace the LoRA adapter." if request.prompt.adapter else "Download the model again.",
                )
            events += decoding.write(self._context, row)
        except Exception as error:  # an error in one stream must not end the others
            self._end(request, fresh_error(error))
            return
        self._counters.tokens_written += 1
        if decoding.over:
            events.append(Finished(decoding.over, len(request.tokens), evaluated, decoding.written))
        if events:
            self._outbox.append((request.replies, events))
            request.delivered += len(events)
        if decoding.over:
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
        """Remove a finished, cancelled or failed request. Its tokens stay in the cache, idle."""
        del self._requests[request.number]
        self._admission.leave(request, time.monotonic())
        self._waiting.is_stale = True
        if error is None and request.decoding is not None:
            self._counters.replies += request.decoding.over is not None
            self._counters.cancelled += request.decoding.over is None
        self._refuse(request, error)

    def _refuse(self, request: Request, error: Exception | None) -> None:
        """Tell a request's reader that nothing more comes, and the error, if any."""
        if request.work == "reply" and error is not None:
            self._counters.refused += isinstance(error, BusyError)
            self._counters.failed += not isinstance(error, BusyError)
        self._outbox.append((request.replies, [error]))

    def _deliver(self) -> None:
        """Hand the queued events to the delivery thread."""
        if self._outbox:
            self._delivery.send(self._outbox)
            self._outbox = []
