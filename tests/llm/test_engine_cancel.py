"""Replies that are closed, warm-ups that are overtaken, engines that are stopped: nothing is left behind."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_gguf
from asking import (
    GREEDY,
    MARLA,
    Start,
    ask,
    finished,
    pump,
    read,
    request,
    settle,
    until,
    user,
    words,
)

from mythicd.engines import (
    Prompt,
    TextDelta,
)
from mythicd.errors import Busy, EngineError
from mythicd.llm.scheduler import Limits

pytestmark = pytest.mark.engine


async def test_closing_a_reply_in_its_middle_frees_the_sequence(start: Start) -> None:
    engine = await start()
    whole = words(await read(engine, request("marla", ask(MARLA, "hello"))))
    reply = engine.generate(request("marla", ask(MARLA, "hello"), replace(GREEDY, max_tokens=500)))
    async for event in reply:
        if isinstance(event, TextDelta):
            break
    await reply.aclose()
    await settle(engine)
    assert words(await read(engine, request("marla", ask(MARLA, "hello")))) == whole


async def test_closing_a_reply_while_its_prompt_is_evaluated_keeps_what_was_done(start: Start) -> None:
    engine = await start(n_ctx=2048, limits=Limits(chunk=4, chunk_least=4))
    prompt = ask(MARLA, "why? " * 200)
    task = asyncio.ensure_future(read(engine, request("marla", prompt)))
    await until(lambda: bool(pump(engine)._ledger.tokens("marla")))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await settle(engine)
    done = len(pump(engine)._ledger.tokens("marla"))
    events = await read(engine, request("marla", prompt))
    assert 0 < done < finished(events).prompt_tokens
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
        except Busy:
            pass
        finally:
            await reply.aclose()

    for first in range(0, 200, 4):
        await asyncio.gather(*(interrupted(number) for number in range(first, first + 4)))
    await settle(engine)

    # And the cache can still be filled to its last cell.
    inside = pump(engine)
    fixed = len(inside._admission.prompts.whole(Prompt("", "", (), (user(""),))).tokens)
    size = inside._ledger.cells
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
