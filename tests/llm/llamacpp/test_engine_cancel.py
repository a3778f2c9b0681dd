"""Cancelled replies and warm-ups, and stopped engines: nothing is leaked."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_gguf
from asking import (
    ENDLESS,
    GREEDY,
    MARLA,
    ODO,
    Internals,
    Start,
    ask,
    finished,
    read,
    request,
    settle,
    stick,
    until,
    user,
    words,
)

from mythicd.engines.llm import Focus, PrefillDone, Prompt, TextDelta
from mythicd.errors import BusyError, ConfigError, EngineError
from mythicd.llm.llamacpp.context import Context
from mythicd.llm.llamacpp.engine import LlamaLlm
from mythicd.llm.llamacpp.scheduler import Batch, Limits

pytestmark = pytest.mark.engine

ONE = {"n_ctx": 4096, "limits": Limits(streams=1, burst_tokens=8, chunk=4, chunk_least=4)}
"""One reply at once, which stops soon when nobody reads it."""
LONG = MARLA + "\n- Likes rain." * 40


async def test_closed_reply_frees_its_sequence(start: Start) -> None:
    engine = await start()
    whole = words(await read(engine, request("marla", ask(MARLA, "hello"))))
    reply = engine.generate(request("marla", ask(MARLA, "hello"), replace(GREEDY, max_tokens=500)))
    async for event in reply:
        if isinstance(event, TextDelta):
            break
    await reply.aclose()
    await settle(engine)
    assert words(await read(engine, request("marla", ask(MARLA, "hello")))) == whole


async def test_reply_closed_in_prefill_keeps_evaluated_tokens(start: Start) -> None:
    engine = await start(n_ctx=2048, limits=Limits(chunk=4, chunk_least=4))
    prompt = ask(MARLA, "why? " * 200)
    task = asyncio.ensure_future(read(engine, request("marla", prompt)))
    await until(lambda: engine.snapshot().tokens("marla") > 0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await settle(engine)
    done = engine.snapshot().tokens("marla")
    events = await read(engine, request("marla", prompt))
    assert 0 < done < finished(events).prompt_tokens
    assert engine.counters.tokens_new == finished(events).prompt_tokens, "each was evaluated and counted once"
    assert finished(events).evaluated_tokens == finished(events).prompt_tokens - done


async def test_two_hundred_cancels_leak_no_cell(start: Start) -> None:
    engine = await start(n_ctx=768, n_seq_max=6, limits=Limits(streams=6, chunk=16, chunk_least=8))
    dice = random.Random(7)

    async def interrupted(number: int) -> None:
        name = f"npc{number % 9}"
        prompt = ask(f"\n\nYou are {name}.", "why? " * dice.randrange(30))
        reply = engine.generate(request(name, prompt, replace(GREEDY, max_tokens=dice.randrange(1, 60))))
        left = dice.randrange(12)
        try:
            async for _ in reply:
                left -= 1
                if left < 0:
                    break
        except BusyError:
            pass
        finally:
            await reply.aclose()

    for first in range(0, 200, 4):
        await asyncio.gather(*(interrupted(number) for number in range(first, first + 4)))
    await settle(engine)

    # And the cache can still be filled to its last cell.
    inside = Internals(engine)
    fixed = len(inside.prompts.whole(Prompt("", "", (), (user(""),))).tokens)
    size = engine.snapshot().cells
    events = await read(engine, request("last", Prompt("", "", (), (user("z" * (size - 1 - fixed)),)),
                                        replace(GREEDY, max_tokens=50)))  # fmt: skip
    assert finished(events).prompt_tokens == size - 1
    assert finished(events).generated_tokens == 1 and finished(events).reason == "length"
    events = await read(engine, request("last", Prompt("", "", (), (user("z" * (size - 2 - fixed)),)),
                                        replace(GREEDY, max_tokens=2)))  # fmt: skip
    assert finished(events).generated_tokens == 2 or finished(events).reason == "stop"
    await settle(engine)


async def test_the_engine_stops_within_a_long_prefill(start: Start, tmp_path: Path) -> None:
    """One step of about a second: the stop comes from within it."""
    big = tiny_gguf.Tiny(width=512, layers=8, heads=8, kv_heads=8, feed_forward=2048, context=8192)
    path = tiny_gguf.write(tmp_path / "big.gguf", big)
    engine = await start(path, n_ctx=4096, n_batch=4096, limits=Limits(streams=1, chunk=4000, chunk_least=4000))
    task = asyncio.ensure_future(read(engine, request("marla", ask(MARLA, "why? " * 700))))
    await asyncio.sleep(0.1)
    assert not task.done()
    began = time.perf_counter()
    await engine.stop()
    took = time.perf_counter() - began
    with pytest.raises(EngineError, match="stopped"):
        await task
    assert took < 0.2


async def test_closing_an_unread_reply_admits_the_next_at_once(start: Start) -> None:
    engine = await start(**ONE)
    stuck = await stick(engine)
    waiting = asyncio.ensure_future(read(engine, request("odo", ask(ODO, "hello"), patience_s=5.0)))
    await until(lambda: engine.counters.waiting == 1)
    await stuck.aclose()
    async with asyncio.timeout(3):
        assert finished(await waiting)
    assert engine.counters.queue_wait.total < 3


async def test_reply_with_small_ahead_tokens_waits_for_its_reader(start: Start) -> None:
    engine = await start(n_ctx=4096, limits=Limits(burst_tokens=48))
    reply = engine.generate(replace(request("marla", ask(MARLA, "hello"), ENDLESS), ahead_tokens=4))
    assert isinstance(await anext(reply), PrefillDone)
    (queued,) = Internals(engine).requests

    async def stops() -> int:
        """Wait until it is held back; return how far ahead of its reader it is by then, and stays."""
        await until(lambda: queued.replies.held and queued.delivered - queued.replies.taken >= 4)
        ahead = queued.delivered - queued.replies.taken
        assert finished(await read(engine, request("odo", ask(ODO, "hello")))), "other replies are not held back"
        assert queued.delivered - queued.replies.taken == ahead
        return ahead

    for _ in range(6):
        assert await stops() == 4
        assert isinstance(await anext(reply), TextDelta)
    for _ in range(30):  # more than it may be ahead
        await anext(reply)
    assert await stops() == 4
    await reply.aclose()
    await settle(engine)


async def test_negative_ahead_tokens_refused(start: Start) -> None:
    engine = await start()
    with pytest.raises(ConfigError, match="marla.*-1"):
        await read(engine, replace(request("marla", ask(MARLA, "hello")), ahead_tokens=-1))
    await settle(engine)


@pytest.mark.parametrize("patience_s", [1e12, float("inf")])
async def test_a_reply_may_wait_for_ever(start: Start, patience_s: float) -> None:
    engine = await start(**ONE)
    stuck = await stick(engine)
    waiting = asyncio.ensure_future(read(engine, request("odo", ask(ODO, "hello"), patience_s=patience_s)))
    await until(lambda: engine.counters.waiting == 1)
    await asyncio.sleep(0.05)
    await stuck.aclose()
    assert finished(await waiting)


async def test_cancelled_replies_leave_the_gauges(start: Start) -> None:
    engine = await start(**ONE)
    stuck = await stick(engine)
    waiting = asyncio.ensure_future(read(engine, request("odo", ask(ODO, "hello"))))
    await until(lambda: engine.counters.waiting == 1)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await until(lambda: engine.counters.waiting == 0)
    assert engine.counters.writing == 1
    await stuck.aclose()
    await until(lambda: engine.counters.writing == 0)
    assert engine.counters.cancelled == 2


async def test_waiting_reply_admitted_before_a_new_one(start: Start) -> None:
    engine = await start(**ONE)
    stuck = await stick(engine)
    began: list[str] = []

    async def reading(name: str) -> None:
        async for event in engine.generate(request(name, ask(ODO, "hello"))):
            if isinstance(event, PrefillDone):
                began.append(name)

    waiting = asyncio.ensure_future(reading("odo"))
    await until(lambda: engine.counters.waiting == 1)
    inside, here, on = Internals(engine), threading.Event(), threading.Event()

    def around(step: Callable[[], bool]) -> Callable[[], bool]:
        def stepping() -> bool:
            made = step()
            here.set()
            on.wait(5)
            return made

        return stepping

    inside.wrap("step", around)
    inside.thread.nudge()
    await asyncio.to_thread(here.wait, 5)
    await stuck.aclose()
    late = asyncio.ensure_future(reading("wren"))
    await asyncio.sleep(0)
    on.set()
    await asyncio.gather(waiting, late)
    assert began == ["odo", "wren"]


async def test_room_of_a_late_reply_goes_to_the_next_at_once(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """The third reply is not read, so that the engine thread has no step to make and must not sleep."""
    engine = await start(n_ctx=4096, limits=Limits(streams=2, burst_tokens=8, chunk=1, chunk_least=1))
    stuck = await stick(engine)
    long = ask(ODO, "why? " * 250)
    late = asyncio.ensure_future(read(engine, request("odo", long, patience_s=0.1)))
    await until(lambda: engine.snapshot().running == 2)
    waiting = asyncio.ensure_future(read(engine, request("wren", ask(MARLA, "hello"), patience_s=20.0)))
    with monkeypatch.context() as alone:
        alone.setattr(Internals(engine).thread, "nudge", lambda: None)  # the thread must notice by itself
        with pytest.raises(BusyError):
            await late
        async with asyncio.timeout(5):
            assert finished(await waiting)
    await stuck.aclose()


async def test_reply_out_of_patience_is_told_before_the_next_step(start: Start) -> None:
    engine = await start(n_ctx=4096, limits=Limits(chunk=1, chunk_least=1))
    inside, told, in_time = Internals(engine), threading.Event(), list[bool]()

    def around(run: Callable[[Batch], None]) -> Callable[[Batch], None]:
        def running(batch: Batch) -> None:
            if engine.counters.refused and not in_time:
                in_time.append(told.wait(2))
            run(batch)

        return running

    inside.wrap("run", around)
    other = asyncio.ensure_future(read(engine, request("marla", ask(MARLA, "why? " * 250))))
    with pytest.raises(BusyError):
        await read(engine, request("odo", ask(ODO, "why? " * 250), patience_s=0.05))
    told.set()
    assert finished(await other)
    assert in_time == [True]


async def test_warm_up_goes_on_while_a_reply_waits(start: Start) -> None:
    engine = await start(**ONE)
    stuck = await stick(engine, "wren")
    prompt = replace(ask(MARLA, "hello"), character=LONG)
    warming = asyncio.ensure_future(engine.attend("marla", prompt))
    await until(lambda: engine.snapshot().tokens("marla") > 0)
    with pytest.raises(BusyError):
        await read(engine, request("odo", ask(ODO, "hello"), patience_s=0.05))
    await warming
    assert Internals(engine).holds("marla", Internals(engine).prompts.front(prompt).tokens, parked=True)
    await stuck.aclose()


async def test_prepare_replaces_a_warm_up(start: Start) -> None:
    engine = await start(n_ctx=2048, limits=Limits(chunk=4, chunk_least=4))
    prompt = replace(ask(MARLA, "hello"), character=LONG)
    warming = asyncio.ensure_future(engine.attend("marla", prompt))
    await until(lambda: engine.snapshot().tokens("marla") > 0)
    await engine.prepare("marla", prompt)
    assert Internals(engine).holds("marla", Internals(engine).prompts.opened(prompt).tokens)
    await warming
    await settle(engine)


@pytest.mark.parametrize("failure", [EngineError("no copy"), MemoryError()])
async def test_failed_parking_evaluates_the_prompt_again(
    start: Start, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    engine = await start()
    before = words(await read(engine, request("marla", ask(MARLA, "hello"))))

    def failing(sequence: int) -> None:
        raise failure

    monkeypatch.setattr(Internals(engine).context, "save", failing)
    await engine.park("marla")
    await settle(engine)
    assert engine.counters.out_of_memory == 1 and engine.counters.parked == 0
    assert words(await read(engine, request("marla", ask(MARLA, "hello")))) == before
    await settle(engine)


async def test_crashed_thread_fails_all_replies(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = await start(**ONE)
    stuck = await stick(engine)
    waiting = asyncio.ensure_future(read(engine, request("odo", ask(ODO, "hello"))))
    await until(lambda: engine.counters.waiting == 1)

    def broken(*_: object) -> None:
        raise RuntimeError("broken")

    inside = Internals(engine)
    monkeypatch.setattr(inside.scheduler, "next_batch", broken)
    monkeypatch.setattr(inside.allocator, "release", broken)
    with pytest.raises(EngineError):
        await engine.attend("wren", ask(ODO, "hello"))
    with pytest.raises(EngineError):
        await waiting
    with pytest.raises(EngineError):
        async for _ in stuck:
            pass
    assert "broken" in caplog.text and engine.counters.failed == 2
    assert (engine.counters.waiting, engine.counters.writing) == (0, 0)
    engine.focus("odo", Focus())
    with pytest.raises(EngineError):
        await engine.forget("odo")
    await engine.stop()
    await engine.start()
    assert words(await read(engine, request("marla", ask(MARLA, "hello"))))


async def test_failed_start_frees_everything(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[Context] = []
    close = Context.close

    def evaluate(self: Context, parts: object) -> list[int]:
        raise EngineError("no power")

    def closing(self: Context) -> None:
        closed.append(self)
        close(self)

    monkeypatch.setattr(Context, "evaluate", evaluate)
    monkeypatch.setattr(Context, "close", closing)
    with pytest.raises(EngineError, match="no power"):
        await LlamaLlm(model).start()
    assert len(closed) == 1


async def test_concurrent_starts_share_a_thread_and_stop_waits(start: Start, model: Path) -> None:
    engine = await start()
    await engine.stop()
    await asyncio.gather(engine.start(), engine.start())
    assert len([thread for thread in threading.enumerate() if thread.name == "mythic-llm"]) == 1
    await engine.stop()
    starting = asyncio.ensure_future(engine.start())
    await asyncio.sleep(0)
    await engine.stop()
    await starting
    with pytest.raises(EngineError, match="not running"):
        await engine.forget("marla")
