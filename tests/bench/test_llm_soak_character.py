"""The pause of the soak: no actor starts, and what has started goes on to its end."""

from __future__ import annotations

import asyncio

from bench.llm.soak_character import Pause


async def test_pause_waits_for_active_actors_and_lets_none_start() -> None:
    pause, log = Pause(), list[str]()
    over = asyncio.Event()

    async def acts(name: str, until: asyncio.Event) -> None:
        async with pause.acting():
            log.append(f"{name} begins")
            await until.wait()
            log.append(f"{name} ends")

    async def pauses() -> None:
        async with pause:
            log.append("quiet")
            await asyncio.sleep(0)
            log.append("over")

    first = asyncio.create_task(acts("first", over))
    await asyncio.sleep(0)
    paused = asyncio.create_task(pauses())
    await asyncio.sleep(0)
    second = asyncio.create_task(acts("second", over))
    for _ in range(5):
        await asyncio.sleep(0)
    assert log == ["first begins"]
    over.set()
    async with asyncio.timeout(1):
        await asyncio.gather(first, paused, second)
    assert log == ["first begins", "first ends", "quiet", "over", "second begins", "second ends"]


async def test_pause_of_idle_actors_starts_at_once_and_ends_for_all() -> None:
    pause = Pause()
    async with asyncio.timeout(1):
        async with pause:
            pass
        async with pause.acting():
            pass
        async with pause:
            pass


async def test_actor_woken_into_the_next_pause_waits_for_its_end() -> None:
    pause, begun = Pause(), asyncio.Event()

    async def acts() -> None:
        async with pause.acting():
            begun.set()

    async with pause:
        task = asyncio.create_task(acts())
        await asyncio.sleep(0)
    async with pause:  # at once: the other is woken, and has not run yet
        for _ in range(5):
            await asyncio.sleep(0)
        assert not begun.is_set()
    async with asyncio.timeout(1):
        await task
