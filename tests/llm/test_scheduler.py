"""Who is in the next batch. Streams are numbers, steps are calls: nothing here takes time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mythicd.errors import Busy
from mythicd.llm.scheduler import Limits, Scheduler, Slice

LIMITS = Limits(streams=4, chunk=8, chunk_alone=32)


def step(scheduler: Scheduler) -> list[tuple[int, int]]:
    batch = scheduler.next_batch()
    scheduler.evaluated(batch)
    return [(part.stream, part.tokens) for part in batch]


def test_nothing_to_do() -> None:
    assert Scheduler(LIMITS).next_batch() == []


def test_alone_a_prompt_is_taken_in_large_chunks_and_then_writes() -> None:
    scheduler = Scheduler(LIMITS)
    scheduler.add(1, "reply", 70)
    assert [step(scheduler) for _ in range(5)] == [[(1, 32)], [(1, 32)], [(1, 6)], [(1, 1)], [(1, 1)]]


def test_a_newcomer_never_stops_those_who_speak() -> None:
    scheduler = Scheduler(LIMITS)
    scheduler.add(1, "reply", 1)
    scheduler.add(2, "reply", 1)
    step(scheduler)
    scheduler.add(3, "reply", 20)
    assert [step(scheduler) for _ in range(4)] == [
        [(1, 1), (2, 1), (3, 8)],
        [(1, 1), (2, 1), (3, 8)],
        [(1, 1), (2, 1), (3, 4)],
        [(1, 1), (2, 1), (3, 1)],
    ]


def test_the_oldest_prompt_goes_first_and_the_next_gets_what_is_left_of_the_chunk() -> None:
    scheduler = Scheduler(LIMITS)
    scheduler.add(1, "reply", 40)
    scheduler.add(2, "reply", 40)
    assert [step(scheduler) for _ in range(3)] == [[(1, 32)], [(1, 8), (2, 24)], [(1, 1), (2, 8)]]


def test_warm_ups_wait_for_every_reply_whose_prompt_is_not_done() -> None:
    scheduler = Scheduler(LIMITS)
    scheduler.add(1, "warm-up", 40)
    scheduler.add(2, "reply", 33)
    assert [step(scheduler) for _ in range(4)] == [[(2, 32)], [(2, 1)], [(2, 1), (1, 8)], [(2, 1), (1, 8)]]


def test_who_has_gone_is_in_no_later_batch() -> None:
    scheduler = Scheduler(LIMITS)
    scheduler.add(1, "reply", 100)
    scheduler.add(2, "reply", 5)
    step(scheduler)
    scheduler.remove(1)
    assert step(scheduler) == [(2, 5)]


def test_one_stream_too_many_is_busy_and_changes_nothing() -> None:
    scheduler = Scheduler(LIMITS)
    for stream in range(4):
        scheduler.add(stream, "reply", 1)
    with pytest.raises(Busy, match="4 reply streams"):
        scheduler.add(4, "reply", 1)
    scheduler.add(5, "warm-up", 1)
    scheduler.remove(0)
    scheduler.add(4, "reply", 1)
    assert len(scheduler) == 5


@given(
    prompts=st.lists(st.tuples(st.sampled_from(["reply", "warm-up"]), st.integers(1, 90)), min_size=1, max_size=8),
    chunk=st.integers(1, 40),
)
def test_every_prompt_is_evaluated_exactly_once_within_the_chunk(prompts: list[tuple[str, int]], chunk: int) -> None:
    scheduler = Scheduler(Limits(streams=8, chunk=chunk, chunk_alone=2 * chunk))
    left = {}
    for stream, (work, tokens) in enumerate(prompts):
        scheduler.add(stream, work, tokens)  # type: ignore[arg-type]
        left[stream] = tokens
    for _ in range(10_000):
        if not any(left.values()):
            break
        batch = scheduler.next_batch()
        writing = [part for part in batch if not left[part.stream]]
        reading = [part for part in batch if left[part.stream]]
        assert all(part.tokens == 1 for part in writing)
        assert {part.stream for part in writing} == {stream for stream, tokens in left.items() if not tokens}
        assert 0 < sum(part.tokens for part in reading) <= (chunk if writing else 2 * chunk)
        for part in reading:
            assert part.tokens <= left[part.stream]
            left[part.stream] -= part.tokens
        scheduler.evaluated(batch)
        for part in reading:  # the loop takes a finished warm-up out
            if not left[part.stream] and prompts[part.stream][0] == "warm-up":
                scheduler.remove(part.stream)
                del left[part.stream]
    assert not any(left.values())


def test_a_slice_says_who_and_how_much() -> None:
    scheduler = Scheduler(LIMITS)
    scheduler.add(7, "reply", 3)
    assert scheduler.next_batch() == [Slice(7, 3)]
