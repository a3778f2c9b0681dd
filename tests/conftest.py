"""Rules for every test: no task outlives its test, and tests marked `virtual` run in virtual time."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from typing import Any

import pytest
from hypothesis import settings

from tests.virtual_time import run

# The time of one example depends on the machine more than on the code.
settings.register_profile("mythic", deadline=None)
settings.load_profile("mythic")


@pytest.fixture
async def no_task_left() -> AsyncIterator[None]:
    """Fail a test that leaves a task running: every task has an owner that awaits it."""
    yield
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task() and not task.done()]
    assert not left, f"tasks left running: {left}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put that fixture around every asynchronous test, before all others so that it looks last."""
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.function):
            item.fixturenames.insert(0, "no_task_left")


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_pycollect_makeitem(collector: pytest.Collector, name: str, obj: object) -> Generator[None, Any, Any]:
    """Make tests marked `virtual` synchronous before pytest-asyncio, whose wrapper is outside this one, sees them."""
    made = yield
    for item in made if isinstance(made, list) else [made]:
        if isinstance(item, pytest.Function):
            marker = item.get_closest_marker("virtual")
            if marker is not None:
                _make_virtual(item, **marker.kwargs)
    return made


def _make_virtual(item: pytest.Function, **limits: float) -> None:
    hypothesis = getattr(item.obj, "hypothesis", None)  # with @given each example is a test
    if hypothesis is None:
        item.obj = _in_virtual_time(item.obj, **limits)
    elif inspect.iscoroutinefunction(hypothesis.inner_test):
        hypothesis.inner_test = _in_virtual_time(hypothesis.inner_test, **limits)


def _in_virtual_time(test: Callable[..., Coroutine[Any, Any, None]], **limits: float) -> Callable[..., None]:
    @functools.wraps(test)
    def synchronous(*args: Any, **kwargs: Any) -> None:
        run(test(*args, **kwargs), **limits)

    return synchronous
