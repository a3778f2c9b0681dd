"""The engine on real llama.cpp: who waits for room, who is let in first, and what is ended for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest
from asking import GREEDY, MARLA, ODO, Start, ask, engine_thread, finished, read, request, settle, stick, until, user

from mythicd.engines.llm import Focus, LlmEvent, Prompt
from mythicd.errors import BusyError
from mythicd.llm.llamacpp.engine import LlamaLlm
from mythicd.llm.llamacpp.scheduler import Limits

pytestmark = pytest.mark.engine

SLOW = {"n_ctx": 2048, "limits": Limits(burst_tokens=8, chunk=1, chunk_least=1)}
"""A prompt takes a step for each of its tokens, and a reply that nobody reads stops soon."""


def long(letter: str, size: int) -> Prompt:
    return Prompt("", letter * size, (), (user("hello"),))


async def behind_a_large_one(
    start: Start, most: int = GREEDY.max_tokens, patience_s: float = 60.0
) -> tuple[LlamaLlm, AsyncGenerator[LlmEvent, None], asyncio.Task[list[LlmEvent]]]:
    """Return an engine, one that nobody reads and that holds most cells, and one that waits for more than there are."""
    engine = await start(n_ctx=2048, limits=Limits(burst_tokens=8))
    stuck = await stick(engine, "sera")
    wanted = request("odo", long("o", 600), replace(GREEDY, max_tokens=most), patience_s=patience_s)
    large = asyncio.create_task(read(engine, wanted))
    await until(lambda: bool(engine_thread(engine)._waiting))
    return engine, stuck, large


async def test_a_reply_that_finds_no_room_anyway_ends_no_warm_up(start: Start) -> None:
    engine = await start(**SLOW)
    stuck = await stick(engine, "sera")
    warming = asyncio.ensure_future(engine.attend("marla", long("m", 250)))
    await until(lambda: bool(engine_thread(engine)._allocator.state.tokens("marla")))
    with pytest.raises(BusyError):
        await read(engine, request("odo", long("o", 600), patience_s=0.02))
    await warming
    assert len(engine_thread(engine)._allocator.state.tokens("marla")) > 250
    await stuck.aclose()
    await settle(engine)


async def test_a_second_reply_of_one_character_ends_nobodys_warm_up(start: Start) -> None:
    engine = await start(**SLOW)
    stuck = await stick(engine, "sera")
    warming = asyncio.ensure_future(engine.attend("marla", long("m", 250)))
    await until(lambda: bool(engine_thread(engine)._allocator.state.tokens("marla")))
    with pytest.raises(BusyError):
        await read(engine, request("sera", ask(MARLA, "hello"), patience_s=0.02))
    await warming
    assert len(engine_thread(engine)._allocator.state.tokens("marla")) > 250
    await stuck.aclose()
    await settle(engine)


async def test_a_reply_that_fits_when_they_have_ended_ends_warm_ups(start: Start) -> None:
    engine = await start(**(SLOW | {"n_ctx": 1024}))
    warming = asyncio.ensure_future(engine.attend("marla", long("m", 600)))
    await until(lambda: bool(engine_thread(engine)._allocator.state.tokens("marla")))
    assert finished(await read(engine, request("odo", long("o", 600))))
    await warming
    assert len(engine_thread(engine)._allocator.state.tokens("marla")) < 600
    await settle(engine)


async def test_one_that_needs_much_is_not_overtaken_by_those_that_need_little(start: Start) -> None:
    engine = await start(n_ctx=2048, limits=Limits(burst_tokens=8))
    stuck = await stick(engine, "sera")
    order: list[str] = []

    async def hear(name: str, prompt: Prompt, most: int) -> None:
        assert finished(await read(engine, request(name, prompt, replace(GREEDY, max_tokens=most))))
        order.append(name)

    large = asyncio.ensure_future(hear("odo", long("o", 600), 1))
    await until(lambda: bool(engine_thread(engine)._waiting))
    small = [asyncio.ensure_future(hear(f"npc{number}", long("l", 20), 40)) for number in range(3)]
    await asyncio.sleep(0.7)  # longer than it takes to try again
    assert not order, "there is room for the small ones, but the large one came before them"
    await stuck.aclose()
    await asyncio.gather(large, *small)
    assert order[0] == "odo"
    await settle(engine)


async def test_one_that_is_spoken_to_goes_before_one_that_needs_much(start: Start) -> None:
    engine, stuck, large = await behind_a_large_one(start, most=1)
    engine.focus("wren", Focus(on_screen=True, mic=True))
    assert finished(await read(engine, request("wren", long("l", 20))))
    assert not large.done()
    await stuck.aclose()
    assert finished(await large)
    await settle(engine)


async def test_who_waits_for_its_own_reply_is_in_nobodys_way(start: Start) -> None:
    engine = await start(n_ctx=2048, limits=Limits(burst_tokens=8))
    stuck = await stick(engine, "sera")
    second = asyncio.ensure_future(read(engine, request("sera", ask(MARLA, "hello"))))
    await until(lambda: bool(engine_thread(engine)._waiting))
    assert finished(await read(engine, request("odo", ask(ODO, "hello"))))
    assert not second.done()
    await stuck.aclose()
    assert finished(await second)
    await settle(engine)


async def test_when_the_first_in_line_is_gone_the_next_is_let_in_at_once(start: Start) -> None:
    """Beside one that nobody reads: the engine thread has nothing else to do, and must not fall asleep over it."""
    engine, stuck, large = await behind_a_large_one(start)
    small = asyncio.ensure_future(read(engine, request("wren", long("l", 20))))
    await until(lambda: len(engine_thread(engine)._waiting) == 2)
    large.cancel()
    async with asyncio.timeout(5):
        assert finished(await small)
    await stuck.aclose()
    await settle(engine)


async def test_when_the_first_in_line_is_told_busy_the_next_is_let_in_at_once(start: Start) -> None:
    engine, stuck, large = await behind_a_large_one(start, patience_s=0.2)
    small = asyncio.ensure_future(read(engine, request("wren", long("l", 20))))
    async with asyncio.timeout(5):
        assert finished(await small)
    with pytest.raises(BusyError):
        await large
    await stuck.aclose()
    await settle(engine)


async def test_one_that_waits_too_long_for_cells_makes_nobody_late(start: Start) -> None:
    engine, stuck, large = await behind_a_large_one(start, patience_s=3.0)
    assert finished(await read(engine, request("wren", long("l", 20), patience_s=2.8)))
    assert not large.done(), "it has yielded, and waits on"
    await stuck.aclose()
    assert finished(await large)
    await settle(engine)


async def test_who_waits_for_a_voice_to_end_keeps_no_cells(start: Start) -> None:
    engine = await start(n_ctx=2048, limits=Limits(streams=1, burst_tokens=8))
    stuck = await stick(engine, "sera")
    waiting = [asyncio.ensure_future(read(engine, request(name, long("l", 20)))) for name in ("odo", "wren")]
    await until(lambda: len(engine_thread(engine)._waiting) == 2)
    assert not any(request.lacks_cells for request in engine_thread(engine)._waiting)
    await stuck.aclose()
    assert all(map(finished, await asyncio.gather(*waiting)))
    await settle(engine)
