"""The engine on real llama.cpp: waiting replies, their order, and the warm-ups that they end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest
from asking import GREEDY, MARLA, ODO, Start, ask, finished, read, request, settle, stick, until, user

from mythicd.engines.llm import Focus, LlmEvent, Prompt
from mythicd.errors import BusyError
from mythicd.llm.llamacpp.engine import LlamaLlm
from mythicd.llm.llamacpp.requests import EngineSnapshot
from mythicd.llm.llamacpp.scheduler import Limits

pytestmark = pytest.mark.engine

SLOW = {"n_ctx": 2048, "limits": Limits(burst_tokens=8, chunk=1, chunk_least=1)}
"""A prompt takes a step for each of its tokens, and an unread reply is held back soon."""


def long(letter: str, size: int) -> Prompt:
    return Prompt("", letter * size, (), (user("hello"),))


async def with_a_large_one_waiting(
    start: Start, most: int = GREEDY.max_tokens, patience_s: float = 60.0
) -> tuple[LlamaLlm, AsyncGenerator[LlmEvent, None], asyncio.Task[list[LlmEvent]]]:
    """Return an engine, an unread reply that holds most cells, and one that waits for more than are free."""
    engine = await start(n_ctx=2048, limits=Limits(burst_tokens=8))
    stuck = await stick(engine, "sera")
    wanted = request("odo", long("o", 600), replace(GREEDY, max_tokens=most), patience_s=patience_s)
    large = asyncio.create_task(read(engine, wanted))
    await until(lambda: engine.snapshot().waiting > 0)
    return engine, stuck, large


async def test_reply_that_cannot_fit_ends_no_warm_up(start: Start) -> None:
    engine = await start(**SLOW)
    stuck = await stick(engine, "sera")
    warming = asyncio.ensure_future(engine.attend("marla", long("m", 250)))
    await until(lambda: engine.snapshot().tokens("marla") > 0)
    with pytest.raises(BusyError):
        await read(engine, request("odo", long("o", 600), patience_s=0.02))
    await warming
    assert engine.snapshot().tokens("marla") > 250
    await stuck.aclose()
    await settle(engine)


async def test_second_reply_of_a_character_ends_no_warm_up(start: Start) -> None:
    engine = await start(**SLOW)
    stuck = await stick(engine, "sera")
    warming = asyncio.ensure_future(engine.attend("marla", long("m", 250)))
    await until(lambda: engine.snapshot().tokens("marla") > 0)
    with pytest.raises(BusyError):
        await read(engine, request("sera", ask(MARLA, "hello"), patience_s=0.02))
    await warming
    assert engine.snapshot().tokens("marla") > 250
    await stuck.aclose()
    await settle(engine)


async def test_reply_that_fits_without_warm_ups_ends_them(start: Start) -> None:
    engine = await start(**(SLOW | {"n_ctx": 1024}))
    warming = asyncio.ensure_future(engine.attend("marla", long("m", 600)))
    await until(lambda: engine.snapshot().tokens("marla") > 0)
    assert finished(await read(engine, request("odo", long("o", 600))))
    await warming
    assert engine.snapshot().tokens("marla") < 600
    await settle(engine)


async def test_large_reply_not_overtaken_by_small_ones(start: Start) -> None:
    engine = await start(n_ctx=2048, limits=Limits(burst_tokens=8))
    stuck = await stick(engine, "sera")
    order: list[str] = []

    async def hear(name: str, prompt: Prompt, most: int) -> None:
        assert finished(await read(engine, request(name, prompt, replace(GREEDY, max_tokens=most))))
        order.append(name)

    large = asyncio.ensure_future(hear("odo", long("o", 600), 1))
    await until(lambda: engine.snapshot().waiting > 0)
    small = [asyncio.ensure_future(hear(f"npc{number}", long("l", 20), 40)) for number in range(3)]
    await asyncio.sleep(0.7)  # longer than it takes to try again
    assert not order, "there is room for the small ones, but the large one came before them"
    await stuck.aclose()
    await asyncio.gather(large, *small)
    assert order[0] == "odo"
    await settle(engine)


async def test_reply_of_higher_priority_overtakes_a_large_one(start: Start) -> None:
    engine, stuck, large = await with_a_large_one_waiting(start, most=1)
    engine.focus("wren", Focus(on_screen=True, mic=True))
    assert finished(await read(engine, request("wren", long("l", 20))))
    assert not large.done()
    await stuck.aclose()
    assert finished(await large)
    await settle(engine)


async def test_second_reply_of_a_character_holds_no_others_back(start: Start) -> None:
    engine = await start(n_ctx=2048, limits=Limits(burst_tokens=8))
    stuck = await stick(engine, "sera")
    second = asyncio.ensure_future(read(engine, request("sera", ask(MARLA, "hello"))))
    await until(lambda: engine.snapshot().waiting > 0)
    assert finished(await read(engine, request("odo", ask(ODO, "hello"))))
    assert not second.done()
    await stuck.aclose()
    assert finished(await second)
    await settle(engine)


async def test_cancelled_first_waiting_reply_admits_the_next_at_once(start: Start) -> None:
    """The running reply is not read, so that the engine thread has no step to make and must not sleep."""
    engine, stuck, large = await with_a_large_one_waiting(start)
    small = asyncio.ensure_future(read(engine, request("wren", long("l", 20))))
    await until(lambda: engine.snapshot().waiting == 2)
    large.cancel()
    async with asyncio.timeout(5):
        assert finished(await small)
    await stuck.aclose()
    await settle(engine)


async def test_refused_first_waiting_reply_admits_the_next_at_once(start: Start) -> None:
    engine, stuck, large = await with_a_large_one_waiting(start, patience_s=0.2)
    small = asyncio.ensure_future(read(engine, request("wren", long("l", 20))))
    async with asyncio.timeout(5):
        assert finished(await small)
    with pytest.raises(BusyError):
        await large
    await stuck.aclose()
    await settle(engine)


async def test_large_reply_yields_its_cells_after_half_its_patience(start: Start) -> None:
    engine, stuck, large = await with_a_large_one_waiting(start, patience_s=3.0)
    assert finished(await read(engine, request("wren", long("l", 20), patience_s=2.8)))
    assert not large.done(), "it has yielded, and waits on"
    await stuck.aclose()
    assert finished(await large)
    await settle(engine)


async def test_reply_waiting_for_a_stream_reserves_no_cells(start: Start) -> None:
    engine = await start(n_ctx=2048, limits=Limits(streams=1, burst_tokens=8))
    stuck = await stick(engine, "sera")
    waiting = [asyncio.ensure_future(read(engine, request(name, long("l", 20)))) for name in ("odo", "wren")]
    await until(lambda: engine.snapshot().waiting == 2)
    assert engine.snapshot().waiting_for_cells == 0
    await stuck.aclose()
    assert all(map(finished, await asyncio.gather(*waiting)))
    await settle(engine)


async def test_snapshot_tells_requests_and_cells(start: Start) -> None:
    engine = await start(n_ctx=2048, park_idle=False, limits=Limits(burst_tokens=8))
    assert engine.snapshot() == EngineSnapshot(cells=2048, free_cells=2048)
    await engine.attend("marla", long("m", 40))
    await engine.park("marla")
    await engine.attend("odo", long("o", 60))
    stuck = await stick(engine, "sera")
    waiting = asyncio.ensure_future(read(engine, request("wren", long("w", 600))))
    await until(lambda: engine.snapshot().waiting > 0)
    seen = engine.snapshot()
    assert (seen.running, seen.waiting, seen.waiting_for_cells) == (1, 1, 1)
    assert seen.parked.keys() == {"marla"} and "marla" not in seen.sequences and seen.tokens("marla") > 40
    assert seen.tokens("odo") == seen.sequences["odo"][1] > 60 and seen.tokens("wren") == 0
    (root,) = seen.sequences.keys() - {"odo", "sera"}
    assert 0 < seen.tokens(root) < seen.tokens("sera"), "the world's rules, which the reply shares"
    assert seen.cells == 2048
    assert (
        max(seen.tokens("odo"), seen.tokens("sera"))
        < 2048 - seen.free_cells
        <= seen.tokens("odo") + seen.tokens("sera")
    )
    await stuck.aclose()
    assert finished(await waiting)
    await settle(engine)
    await engine.stop()
    assert engine.snapshot() == EngineSnapshot()
