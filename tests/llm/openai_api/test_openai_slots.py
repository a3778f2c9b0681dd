"""Request slots: given by importance, then by arrival, and waited for no longer than patience allows."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest

from mythicd.errors import BusyError, EngineError
from mythicd.llm.openai_api.slots import Slots
from mythicd.telemetry.counters import LlmCounters


class Stage:
    """Characters that take a slot and hold it until told to release it."""

    def __init__(self, most: int) -> None:
        self.counters = LlmCounters()
        self.importance: dict[str, int] = {}
        self.slots = Slots(most, lambda npc_id: self.importance.get(npc_id, 0), self.counters)
        self.speaking: list[str] = []
        self.left: dict[str, asyncio.Event] = {}

    async def come(self, npc_id: str, patience: float = 10.0) -> None:
        self.left[npc_id] = asyncio.Event()
        async with self.slots.take(npc_id, asyncio.get_running_loop().time() + patience):
            self.speaking.append(npc_id)
            try:
                await self.left[npc_id].wait()
            finally:
                self.speaking.remove(npc_id)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def gone(task: asyncio.Task[None]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_free_place_goes_to_the_most_important_and_then_to_who_came_first() -> None:
    stage = Stage(1)
    tasks = []
    for npc_id in ("first", "second", "third", "fourth"):
        tasks.append(asyncio.create_task(stage.come(npc_id)))
        await settle()
    assert stage.speaking == ["first"] and (stage.counters.writing, stage.counters.waiting) == (1, 3)
    order = []
    stage.importance["fourth"] = 1  # which it became while it waited
    while stage.speaking:
        order += stage.speaking
        stage.left[stage.speaking[0]].set()
        await settle()
    assert order == ["first", "fourth", "second", "third"]
    await asyncio.gather(*tasks)
    assert (stage.counters.writing, stage.counters.waiting) == (0, 0)


async def test_waiting_ends_with_patience() -> None:
    stage = Stage(1)
    holding = asyncio.create_task(stage.come("holds"))
    await settle()
    with pytest.raises(BusyError, match="All 1 ") as caught:
        await stage.come("waits", patience=0.02)
    assert "scheduler.max_speakers" in caught.value.remedy
    assert stage.counters.waiting == 0
    stage.left["holds"].set()
    await holding


async def test_who_goes_in_the_moment_its_place_comes_leaves_it_to_the_next() -> None:
    stage = Stage(1)
    async with stage.slots.take("holds", asyncio.get_running_loop().time() + 10):
        leaving, staying = (asyncio.create_task(stage.come(npc_id)) for npc_id in ("leaves", "stays"))
        await settle()
    await gone(leaving)  # the place is its own by now, but it has not run since
    await settle()
    assert stage.speaking == ["stays"]
    stage.left["stays"].set()
    await staying
    assert (stage.counters.writing, stage.counters.waiting) == (0, 0)


async def test_closing_sends_all_away() -> None:
    stage = Stage(1)
    tasks = [asyncio.create_task(stage.come(npc_id)) for npc_id in ("holds", "waits")]
    await settle()
    stage.slots.close()
    with pytest.raises(EngineError, match="stopped"):
        await tasks[1]
    with pytest.raises(EngineError, match="stopped"):
        await stage.come("later")
    assert stage.speaking == ["holds"]
    await gone(tasks[0])


@pytest.mark.parametrize("seed", range(20))
async def test_whoever_comes_and_goes_no_place_is_lost_or_made(seed: int) -> None:
    chance = random.Random(seed)
    stage = Stage(3)
    tasks: dict[str, asyncio.Task[None]] = {}
    acts: list[Callable[[str], object]] = [
        lambda npc_id: stage.left[npc_id].set() if npc_id in stage.left else None,
        lambda npc_id: tasks[npc_id].cancel(),
        lambda npc_id: stage.importance.update({npc_id: chance.randrange(3)}),
    ]
    for number in range(60):
        tasks[f"npc{number}"] = asyncio.create_task(stage.come(f"npc{number}"))
        for _ in range(chance.randrange(3)):
            chance.choice(acts)(chance.choice(list(tasks)))
        for _ in range(chance.randrange(3)):
            await asyncio.sleep(0)
        assert len(stage.speaking) <= 3
        await settle()
        assert len(stage.speaking) == min(3, stage.counters.writing + stage.counters.waiting)
    for event in stage.left.values():
        event.set()
    await asyncio.wait(tasks.values())
    assert stage.speaking == [] and (stage.counters.writing, stage.counters.waiting) == (0, 0)
    tasks = {name: asyncio.create_task(stage.come(name)) for name in "abcd"}
    await settle()
    assert stage.speaking == ["a", "b", "c"]
    for task in tasks.values():
        await gone(task)
