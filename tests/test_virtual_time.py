"""Virtual time: what the marker `virtual` runs a test in, and which tests it fails."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import virtual_time
from tests.virtual_time import VirtualLoop, run


@pytest.mark.virtual
async def test_marked_test_runs_in_virtual_loop() -> None:
    begun, loop = time.monotonic(), asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop) and loop.time() == 0.0
    await asyncio.sleep(1000.0)
    assert loop.time() == pytest.approx(1000.0)
    assert time.monotonic() - begun < 100.0


@pytest.mark.virtual
@pytest.mark.parametrize("number", [1, 2])
async def test_marked_test_gets_parameters_and_fixtures(number: int, request: pytest.FixtureRequest) -> None:
    assert request.node.callspec.params == {"number": number}
    assert isinstance(asyncio.get_running_loop(), VirtualLoop)


@pytest.mark.virtual
@given(st.integers())
async def test_each_example_has_its_own_virtual_loop(number: int) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop) and loop.time() == 0.0
    await asyncio.sleep(1.0)


@pytest.mark.virtual(limit_s=5.0)
@pytest.mark.xfail(raises=TimeoutError, strict=True)
async def test_marked_test_fails_at_its_time_limit() -> None:
    await asyncio.sleep(6.0)


@pytest.mark.virtual
@pytest.mark.xfail(raises=AssertionError, strict=True)
async def test_marked_test_fails_when_a_task_is_left() -> None:
    test_marked_test_fails_when_a_task_is_left.task = asyncio.create_task(asyncio.sleep(60.0))  # type: ignore[attr-defined]


async def test_unmarked_test_runs_in_real_time() -> None:
    assert not isinstance(asyncio.get_running_loop(), VirtualLoop)


def test_unhandled_error_fails_the_run() -> None:
    async def fail_in_callback() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 // 0)
        await asyncio.sleep(0.1)

    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        run(fail_in_callback())


def test_wait_without_timers_is_a_deadlock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtual_time, "PATIENCE_S", 0.01)
    with asyncio.Runner(loop_factory=VirtualLoop) as runner, pytest.raises(RuntimeError, match="Deadlock"):
        runner.run(asyncio.Event().wait())
