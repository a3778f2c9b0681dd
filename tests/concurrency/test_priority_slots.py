"""Priority slots: as many users at once as there are slots, the most urgent first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from mythicd.concurrency.priority_slots import PrioritySlots


class Speaker:
    """Phrases that each hold a slot until they are told to end."""

    def __init__(self, slots: PrioritySlots) -> None:
        self._slots = slots
        self.begun: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._ends: dict[str, asyncio.Event] = {}

    async def begin(self, name: str, lead_s: Callable[[], float] | None = None) -> None:
        self._ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._hold(name, lead_s))
        await asyncio.sleep(0)

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await asyncio.gather(self.tasks[name], return_exceptions=True)
        await asyncio.sleep(0)

    async def _hold(self, name: str, lead_s: Callable[[], float] | None) -> None:
        async with self._slots.slot(lead_s):
            self.begun.append(name)
            await self._ends[name].wait()


async def test_the_shortest_lead_at_that_moment_goes_first() -> None:
    speaker, leads = Speaker(PrioritySlots(1)), {"b": 1.0, "c": 2.0}
    await speaker.begin("a")
    for name in ("b", "c"):
        await speaker.begin(name, lambda name=name: leads[name])
    leads["b"] = 3.0
    for name in ("a", "c", "b"):
        await speaker.end(name)
    assert speaker.begun == ["a", "c", "b"]


async def test_equal_leads_keep_their_order() -> None:
    speaker = Speaker(PrioritySlots(2))
    for name in "abcde":
        await speaker.begin(name)
    assert speaker.begun == ["a", "b"]
    for name in "abcde":
        await speaker.end(name)
    assert speaker.begun == [*"abcde"]


@pytest.mark.parametrize("granted", [False, True])
async def test_a_cancelled_phrase_leaves_no_slot_taken(granted: bool) -> None:
    speaker = Speaker(PrioritySlots(1))
    for name in "abc":
        await speaker.begin(name)
    if granted:  # cancelled in the moment in which it gets the slot
        speaker._ends["a"].set()
        await asyncio.sleep(0)
    speaker.tasks["b"].cancel()
    await speaker.end("a")
    await asyncio.gather(speaker.tasks["b"], return_exceptions=True)
    await asyncio.sleep(0)
    assert speaker.begun[-1] == "c"
    await speaker.end("c")
    await speaker.begin("d")
    assert speaker.begun[-1] == "d"
    await speaker.end("d")


async def test_an_error_frees_the_slot() -> None:
    slots = PrioritySlots(1)
    with pytest.raises(ValueError):
        async with slots.slot():
            raise ValueError
    async with asyncio.timeout(1), slots.slot():
        pass
