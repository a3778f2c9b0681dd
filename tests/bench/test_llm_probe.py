"""The pause of the soak: nobody begins, and whoever has begun goes on to the end."""

from __future__ import annotations

import asyncio

from bench.llm_probe import Pause


async def test_a_pause_waits_for_what_is_begun_and_lets_nothing_new_begin() -> None:
    pause, log = Pause(), list[str]()
    loop_turn = asyncio.Event()

    async def acts(name: str, until: asyncio.Event) -> None:
        await pause.begin()
        log.append(f"{name} begins")
        await until.wait()
        log.append(f"{name} ends")
        pause.end()

    async def pauses() -> None:
        async with pause:
            log.append("quiet")
            await asyncio.sleep(0)
            log.append("over")

    first = asyncio.create_task(acts("first", loop_turn))
    await asyncio.sleep(0)
    paused = asyncio.create_task(pauses())
    await asyncio.sleep(0)
    second = asyncio.create_task(acts("second", loop_turn))
    for _ in range(5):
        await asyncio.sleep(0)
    assert log == ["first begins"]
    loop_turn.set()
    async with asyncio.timeout(1):
        await asyncio.gather(first, paused, second)
    assert log == ["first begins", "first ends", "quiet", "over", "second begins", "second ends"]


async def test_a_pause_of_nothing_begins_at_once_and_after_it_all_may_act() -> None:
    pause = Pause()
    async with asyncio.timeout(1):
        async with pause:
            pass
        await pause.begin()
        pause.end()
        async with pause:
            pass
