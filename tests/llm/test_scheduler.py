"""Who is in the next batch. Streams are numbers and time is an argument: nothing here takes any."""

from __future__ import annotations

from collections import Counter
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mythicd.engines import Focus
from mythicd.errors import Busy
from mythicd.llm.scheduler import FIRST_WORDS, IDLE_S, Limits, Scheduler, Work

LIMITS = Limits(streams=4, chunk=32, chunk_least=4, slice_tokens=4, burst_tokens=16)
MS = 0.001


class Model:
    """A scheduler with a model that takes `decode` for each width and `token` for each prompt token, in seconds."""

    def __init__(self, limits: Limits = LIMITS, *, decode: float = 10 * MS, more: float = 2 * MS, token: float = MS):
        self.scheduler = Scheduler(limits)
        self.now = 100.0
        self.written: Counter[int] = Counter()
        self.slower = 1.0
        """How many times as long as it should everything takes."""
        self._cost = decode, more, token
        self._left: dict[int, int] = {}

    def add(
        self, stream: int, prompt: int = 1, work: Work = "reply", adapter: str | None = None, ahead_tokens: int = 0
    ) -> None:
        self.scheduler.add(stream, f"npc{stream}", work, prompt, self.now, adapter=adapter, ahead_tokens=ahead_tokens)
        self._left[stream] = prompt

    def remove(self, stream: int) -> None:
        self.scheduler.remove(stream, self.now)
        del self._left[stream]

    def step(self, until: float = inf) -> dict[int, int]:
        batch = self.scheduler.next_batch(self.now, until)
        decode, more, token = self._cost
        writers = sum(not self._left[part.stream] for part in batch.slices)
        prompt = sum(part.tokens for part in batch.slices if self._left[part.stream])
        took = ((decode + more * (writers - 1)) * (writers > 0) + prompt * token) * self.slower
        self.now += took
        self.scheduler.evaluated(batch, took, self.now)
        for part in batch.slices:
            if self._left[part.stream]:
                self._left[part.stream] -= part.tokens
            if not self._left[part.stream]:
                self.written[part.stream] += 1
        return {part.stream: part.tokens for part in batch.slices}

    def speak(self, *streams: int) -> None:
        """Have these streams past their first phrase, and the cost of steps known."""
        for stream in streams:
            self.add(stream, 16)
        while min((self.written[stream] for stream in streams), default=99) <= FIRST_WORDS:
            self.step()


def test_nothing_to_do() -> None:
    assert Model().step() == {}


def test_a_newcomer_never_stops_those_who_speak() -> None:
    model = Model()
    model.speak(1, 2)
    model.add(3, 200)
    while model._left[3]:
        assert model.step().keys() >= {1, 2}


def test_a_chunk_is_as_large_as_the_step_may_be_long() -> None:
    model = Model(Limits(streams=4, chunk=2000, chunk_least=4), decode=40 * MS)
    model.speak(1, 2)
    model.add(3, 9000)
    assert 175 <= model.step()[3] <= 184  # step_s is 225 ms, of which 42 go to the two that write
    model.remove(1)
    model.remove(2)
    assert 960 <= model.step()[3] <= 1040  # alone_s is a second
    model.scheduler.focus("npc4", Focus(mic=True), model.now)
    model.add(4, 1)
    while not model.written[4]:
        model.step()
    assert 30 <= model.step()[3] <= 37  # and while first words are written, first_s


def test_those_who_write_are_slowed_down_by_a_bounded_factor() -> None:
    model = Model(Limits(streams=4, chunk=500, chunk_least=4), decode=10 * MS)
    model.speak(1, 2)
    model.add(3, 2000)
    assert 63 <= model.step()[3] <= 68  # six and a half times the 12 ms that the two take


def test_what_is_done_ahead_takes_short_steps_while_somebody_is_spoken_to() -> None:
    model = Model(Limits(streams=4, chunk=2000, chunk_least=4))
    model.speak(1)
    model.remove(1)
    model.add(2, 9000, "warm-up")
    assert 240 <= model.step()[2] <= 260  # ahead_s
    model.scheduler.focus("npc7", Focus(mic=True), model.now)
    assert 70 <= model.step()[2] <= 80  # first_s


def test_a_step_does_not_run_on_long_after_somebodys_time_is_over() -> None:
    model = Model(Limits(streams=4, chunk=2000, chunk_least=4))
    model.speak(1)
    model.remove(1)
    model.add(2, 9000)
    assert sum(part.tokens for part in model.scheduler.next_batch(model.now).slices) > 900
    assert 290 < sum(part.tokens for part in model.scheduler.next_batch(model.now, model.now + 0.6).slices) < 310
    assert 70 < sum(part.tokens for part in model.scheduler.next_batch(model.now, model.now - 5).slices) < 80


@pytest.mark.parametrize("patience_s", [0.1, 0.3, 0.7, 1.1, 1.5, 1.9, 3.0, 10.0])
@pytest.mark.parametrize("writers", [0, 2])
def test_nobodys_time_is_far_over_though_steps_take_twice_as_long_as_they_did(patience_s: float, writers: int) -> None:
    limits = Limits(streams=4, chunk=2000, chunk_least=4)
    model = Model(limits)
    model.speak(1, 2)
    for stream in (1, 2)[writers:]:
        model.remove(stream)
    model.add(3, 90_000)
    model.slower = 2.0
    until = model.now + patience_s
    while model.now < until:
        assert 3 in model.step(until)
    assert model.now - until <= 2 * limits.first_s


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


def test_a_chunk_is_never_smaller_than_is_worth_reading_the_weights_for() -> None:
    model = Model(decode=400 * MS)
    model.speak(1)
    model.add(2, 40)
    assert model.step() == {1: 1, 2: 4}


def test_before_anything_is_known_of_the_model_chunks_are_bearable() -> None:
    model = Model(Limits(chunk_least=8))
    model.add(1, 500)
    assert model.step() == {1: 16}


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


def test_what_may_be_for_nothing_is_read_in_short_steps_and_by_whole_rows() -> None:
    model = Model(Limits(), token=6 * MS)
    model.add(1, 64)
    model.step()
    took = {}
    for stream, work, ahead in ((2, "prepare", 0), (3, "reply", 24), (4, "reply", 0)):
        model.remove(stream - 1)
        model.add(stream, 400, work, ahead_tokens=ahead)  # type: ignore[arg-type]
        took[stream] = model.step()[stream]
    assert took[2] == 8 == 50 // 6 // 4 * 4, "a turn that is being said"
    assert took[3] == 24 == 150 // 6 // 4 * 4 < 150 // 6, "an answer to a guess"
    assert took[4] > 100, "an answer to what was said"
    model.add(5, 400, "prepare")
    model.remove(4)
    model.slower = 4
    for _ in range(40):
        model.add(6, 16)
        model.step()
        model.remove(6)
    assert model.step() == {5: 4}, "on a slow machine four, which take hardly longer than one"


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
    with pytest.raises(Busy, match="4 replies"):
        model.scheduler.require_room(None)
    model.remove(0)
    model.add(5, 1, "warm-up")
    model.scheduler.require_room(None)


def test_one_voice_more_than_the_model_can_feed_is_busy() -> None:
    """100 ms for one and 80 more for each: two get 5.5 tokens a second each, three would get fewer than 5."""
    model = Model(Limits(step_s=1.0, chunk_least=4), decode=100 * MS, more=80 * MS)
    model.speak(1)
    model.scheduler.require_room(None)
    model.speak(2)
    with pytest.raises(Busy, match=r"4\.\d tokens a second for each of 3 voices, which need 5\.0"):
        model.scheduler.require_room(None)
    with pytest.raises(Busy):  # another adapter makes a step of its own
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
