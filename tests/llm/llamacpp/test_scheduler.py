"""The streams in the next batch, and their order. Streams are numbers."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mythicd.engines.llm import Focus
from mythicd.errors import BusyError
from mythicd.llm.llamacpp.scheduler import FIRST_WORDS, IDLE_S, Limits, Work
from tests.llm.timed_model import MS, Model


def test_nothing_to_do() -> None:
    assert Model().step() == {}


def test_a_newcomer_never_stops_those_who_speak() -> None:
    model = Model()
    model.speak(1, 2)
    model.add(3, 200)
    while model._left[3]:
        assert model.step().keys() >= {1, 2}


def test_prompts_are_evaluated_one_after_the_other_for_shared_out_all_would_end_late() -> None:
    model = Model(Limits(streams=4, chunk=64, chunk_least=4))
    for stream in (1, 2, 3):
        model.add(stream, 200)
    ends = {}
    for _ in range(100):
        model.step()
        for stream in (1, 2, 3):
            if not model._left[stream]:
                ends.setdefault(stream, model.now)
    assert ends[1] - 100 < 0.6 * (ends[3] - 100) and ends[1] < ends[2] < ends[3]


def test_who_is_seen_and_spoken_to_goes_first() -> None:
    model = Model()
    model.speak(1)
    for stream in (2, 3, 4):
        model.scheduler.focus(f"npc{stream}", Focus(), model.now)
    model.add(2, 200)
    model.add(3, 200)
    model.scheduler.focus("npc3", Focus(on_screen=True, mic=True), model.now)
    batch = model.step()
    assert batch[3] > 0 and 2 not in batch


def test_the_weights_of_the_design_document() -> None:
    model = Model()
    scheduler = model.scheduler
    assert scheduler.priority("npc9", model.now) == -1, "nothing has ever happened to it"
    scheduler.focus("npc9", Focus(on_screen=True, mic=True), model.now)
    assert scheduler.priority("npc9", model.now) == 2
    scheduler.focus("npc9", Focus(on_screen=False, mic=True), model.now)
    assert scheduler.priority("npc9", model.now) == 0
    model.now += IDLE_S + 1  # the player has spoken for long
    scheduler.focus("npc9", Focus(), model.now)
    assert scheduler.priority("npc9", model.now + IDLE_S) == 0
    assert scheduler.priority("npc9", model.now + IDLE_S + 0.1) == -1
    model.speak(9)
    assert scheduler.priority("npc9", model.now) == 1
    scheduler.focus("npc9", Focus(on_screen=True, mic=True), model.now)
    assert scheduler.priority("npc9", model.now) == 3
    scheduler.focus("npc9", Focus(), model.now)
    model.remove(9)
    assert scheduler.priority("npc9", model.now) == 0, "it spoke a moment ago"
    scheduler.forget("npc9")
    assert scheduler.priority("npc9", model.now) == -1


def test_when_not_all_can_write_the_urgent_do_and_the_others_get_their_minimum() -> None:
    """Two whom the player speaks to, six that nobody looks at, and a model that can feed two at a time."""
    limits = Limits(streams=8, slice_tokens=4, burst_tokens=32, step_s=50 * MS)
    model = Model(limits, decode=10 * MS, more=30 * MS)
    for stream in range(8):
        model.scheduler.focus(f"npc{stream}", Focus(on_screen=stream < 2, mic=stream < 2), model.now)
        model.add(stream, 16)
    while sum(count > FIRST_WORDS for count in model.written.values()) < 8:
        model.step()
    before, steps = Counter(model.written), 32 * 20
    for _ in range(steps):
        model.step()
    got = {stream: model.written[stream] - before[stream] for stream in range(8)}
    assert all(count >= steps * 4 // 32 for count in list(got.values())[2:]), got
    assert all(got[urgent] > 3 * got[idle] for urgent in (0, 1) for idle in range(2, 8)), got


def test_a_prompt_that_nobody_looks_at_gets_its_slice_beside_urgent_ones() -> None:
    model = Model(Limits(streams=8, chunk=64, chunk_least=8, slice_tokens=8, burst_tokens=32, alone_s=64 * MS))
    for stream in (1, 2):
        model.scheduler.focus(f"npc{stream}", Focus(mic=True), model.now)
        model.add(stream, 4000)
    model.add(3, 1000)
    got = sum(model.step().get(3, 0) for _ in range(64))
    assert 64 * 8 // 32 * 8 - 8 <= got <= 64 * 8 // 32 * 8 + 8


def test_who_is_ahead_of_its_voice_goes_behind_the_others_and_then_stops() -> None:
    model = Model(Limits(streams=4, slice_tokens=2, burst_tokens=16, step_s=20 * MS), decode=10 * MS, more=30 * MS)
    model.speak(1, 2)
    model.scheduler.focus("npc1", Focus(mic=True), model.now)
    model.scheduler.read(1, 16)
    assert sum(1 in model.step() for _ in range(16)) <= 3, "no more than its minimum"
    model.scheduler.read(1, 32)
    assert all(model.step().keys() == {2} for _ in range(40))
    model.scheduler.read(2, 32)
    assert model.step() == {}
    model.scheduler.read(1, 3)
    assert model.step() == {1: 1}


def test_who_asked_to_be_little_ahead_stops_sooner_and_nobody_else_does() -> None:
    model = Model(Limits(streams=4, burst_tokens=16, slice_tokens=2))
    for stream, ahead_tokens in ((1, 4), (2, 0), (3, 99)):
        model.add(stream, 16, ahead_tokens=ahead_tokens)
    while min(model.written[stream] for stream in (1, 2, 3)) < FIRST_WORDS:
        model.step()
    for stream in (1, 2, 3):
        model.scheduler.read(stream, 3)
    assert model.step().keys() == {1, 2, 3}
    for stream in (1, 2, 3):
        model.scheduler.read(stream, 4)
    assert model.step().keys() == {2, 3}
    for stream in (1, 2, 3):
        model.scheduler.read(stream, 2 * 16)
    assert model.step() == {}, "nobody may be further ahead than the limit of all"
    model.scheduler.read(1, 3)
    assert model.step() == {1: 1}


def test_who_asked_to_be_little_ahead_goes_behind_the_others_at_half_of_it() -> None:
    model = Model(Limits(streams=4, slice_tokens=2, burst_tokens=16, step_s=20 * MS), decode=10 * MS, more=30 * MS)
    model.add(1, 16, ahead_tokens=8)
    model.speak(2)
    model.scheduler.focus("npc1", Focus(mic=True), model.now)
    model.scheduler.read(1, 3)
    assert sum(1 in model.step() for _ in range(16)) >= 12, "the player speaks to it"
    model.scheduler.read(1, 4)
    assert sum(1 in model.step() for _ in range(16)) <= 3, "no more than its minimum"


def test_what_is_done_ahead_waits_for_every_reply_whose_prompt_is_not_done() -> None:
    model = Model()
    model.speak(4)
    model.add(1, 300, "warm-up")
    model.add(2, 300, "prepare")
    model.add(3, 300)
    order = []
    for _ in range(200):
        order += [stream for stream in model.step() if model._left.get(stream) is not None and stream < 4]
        for stream, work in ((1, "warm-up"), (2, "prepare")):
            if model._left.get(stream) == 0 and work:
                model.remove(stream)
    first = {stream: order.index(stream) for stream in (1, 2, 3)}
    assert first[3] < first[2] < first[1]


def test_who_has_come_into_view_is_warmed_before_who_has_left_it() -> None:
    model = Model()
    model.add(1, 300, "warm-up")
    model.step()
    model.scheduler.focus("npc1", Focus(on_screen=False, mic=True), model.now)  # who was spoken to a moment ago
    model.add(2, 300, "warm-up")
    model.scheduler.focus("npc2", Focus(), model.now)
    order = []
    while model._left.get(2):
        order += model.step()
    assert order[:-1] == [2] * (len(order) - 1) and model._left[1] > 200
    model.remove(2)
    model.add(3, 300, "warm-up", adapter="a")
    model.scheduler.focus("npc3", Focus(on_screen=False), model.now)
    model.add(4, 300, "prepare", adapter="b")
    while model._left.get(4):
        assert set(model.step()) == {4}, "and no adapter's turn comes before"
    model.remove(4)
    seen = set[int]()
    for _ in range(8):
        seen |= set(model.step())
    assert seen == {1, 3}


def test_who_has_gone_is_in_no_later_batch() -> None:
    model = Model()
    model.add(1, 100)
    model.add(2, 5)
    model.step()
    model.remove(1)
    assert 1 not in model.step()


def test_steps_rotate_among_adapters_and_nobody_else_is_in_them() -> None:
    model = Model()
    for stream, adapter in ((1, "a"), (2, "a"), (3, "b"), (4, None)):
        model.add(stream, 4, adapter=adapter)
    for _ in range(8):
        model.step()
    seen = []
    for _ in range(6):
        batch = model.scheduler.next_batch(model.now)
        seen.append((batch.adapter, frozenset(part.stream for part in batch.slices)))
        model.step()
    assert set(seen) == {("a", frozenset({1, 2})), ("b", frozenset({3})), (None, frozenset({4}))}
    assert seen[:3] == seen[3:]


def test_one_reply_too_many_is_busy_and_what_is_done_ahead_does_not_count() -> None:
    model = Model()
    for stream in range(4):
        model.scheduler.require_room(None)
        model.add(stream)
    with pytest.raises(BusyError, match="4 replies"):
        model.scheduler.require_room(None)
    model.remove(0)
    model.add(5, 1, "warm-up")
    model.scheduler.require_room(None)


def test_reply_that_makes_all_slower_than_speech_is_busy() -> None:
    """100 ms for one and 80 more for each: two get 5.5 tokens a second each, three would get fewer than 5."""
    model = Model(Limits(step_s=1.0, chunk_least=4), decode=100 * MS, more=80 * MS)
    model.speak(1)
    model.scheduler.require_room(None)
    model.speak(2)
    with pytest.raises(BusyError, match=r"\b4\.\d tokens .*\b3 .*\b5\.0\b"):
        model.scheduler.require_room(None)
    with pytest.raises(BusyError):  # another adapter makes a step of its own
        model.scheduler.require_room("b")
    model.remove(1)
    model.scheduler.require_room(None)


def test_a_slow_model_still_speaks_for_one() -> None:
    model = Model(decode=900 * MS)
    model.speak(1)
    model.remove(1)
    model.scheduler.require_room(None)


@given(
    streams=st.lists(
        st.tuples(
            st.sampled_from(["reply", "prepare", "warm-up"]),
            st.integers(1, 90),
            st.sampled_from([None, "a", "b"]),
            st.booleans(),
        ),
        min_size=1,
        max_size=8,
    ),
    chunk=st.integers(4, 40),
)
def test_every_prompt_is_evaluated_exactly_once_and_everybody_writes(
    streams: list[tuple[Work, int, str | None, bool]], chunk: int
) -> None:
    limits = Limits(streams=8, chunk=chunk, chunk_least=4)
    model = Model(limits)
    for stream, (work, prompt, adapter, mic) in enumerate(streams):
        model.scheduler.focus(f"npc{stream}", Focus(mic=mic), model.now)
        model.add(stream, prompt, work, adapter)
    for _ in range(10_000):
        if all(not model._left[stream] for stream in model._left):
            break
        left = dict(model._left)
        batch = model.step()
        assert batch
        assert len({streams[stream][2] for stream in batch}) == 1, "one set of adapters"
        prompts = {stream: tokens for stream, tokens in batch.items() if left[stream]}
        assert all(tokens == 1 for stream, tokens in batch.items() if not left[stream])
        assert all(0 < tokens <= left[stream] for stream, tokens in prompts.items())
        assert sum(prompts.values()) <= chunk
        for stream in prompts:  # the loop takes out what is done ahead
            if not model._left[stream] and streams[stream][0] != "reply":
                model.remove(stream)
    assert not any(model._left.values())
    written = Counter(model.written)
    for _ in range(30):
        model.step()
    assert all(model.written[stream] > written[stream] for stream in model._left)
