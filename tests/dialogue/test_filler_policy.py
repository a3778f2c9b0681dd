"""When a character says "Mm-hm." and "Hmm.": each limit, and that no order of calls breaks one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mythicd.dialogue.filler_policy import FillerPolicy, FillerSettings

UNFINISHED = "i was at the market yesterday and the"
FINISHED = "where is the market"


def test_a_long_story_gets_a_sign_of_listening_at_a_pause() -> None:
    murmurs = FillerPolicy()
    murmurs.begin()
    assert murmurs.partial(10.0, 3400.0, 250.0, UNFINISHED) is None, "not yet long"
    assert murmurs.partial(10.2, 3600.0, 0.0, UNFINISHED) is None, "no pause"
    assert murmurs.partial(10.3, 3600.0, 150.0, UNFINISHED) is None, "a breath"
    assert murmurs.partial(10.4, 3600.0, 450.0, UNFINISHED) is None, "too late"
    assert murmurs.partial(10.5, 3600.0, 250.0, FINISHED) is None, "the answer is next"
    assert murmurs.partial(10.6, 3600.0, 250.0, UNFINISHED) == "backchannel"
    assert murmurs.backchannels == 1


def test_signs_of_listening_are_rare() -> None:
    murmurs = FillerPolicy()
    murmurs.begin()
    said = [at for at in range(60) if murmurs.partial(float(at), 4000.0 + at * 1000, 250.0, UNFINISHED)]
    assert said == [0, 6]
    murmurs.begin()
    assert murmurs.partial(11.9, 4000.0, 250.0, UNFINISHED) is None
    assert murmurs.partial(12.0, 4000.0, 250.0, UNFINISHED) == "backchannel"


def test_a_late_answer_is_announced() -> None:
    murmurs = FillerPolicy()
    murmurs.begin()
    assert murmurs.late(10.2, 10.0, 10.8) is None, "soon enough"
    assert murmurs.late(10.2, 10.0, None) is None, "nobody knows"
    assert murmurs.late(10.2, 10.0, 11.5, ready=True) is None
    assert murmurs.late(10.2, 10.0, 11.5) == "hesitation"
    assert murmurs.late(10.3, 10.0, 11.5) is None, "once"
    murmurs.begin()
    murmurs.begin()
    assert murmurs.late(30.0, 28.0, None) is None, "not every turn"
    murmurs.begin()
    assert murmurs.late(40.8, 40.0, None) is None
    assert murmurs.late(40.95, 40.0, 40.5) == "hesitation", "it was expected before, and is not there"
    assert murmurs.hesitations == 2


def test_who_was_cut_into_hears_no_hesitation() -> None:
    murmurs = FillerPolicy()
    murmurs.begin()
    murmurs.rolled_back()
    assert murmurs.late(12.0, 10.0, None) is None
    murmurs.begin()
    assert murmurs.late(22.0, 20.0, None) == "hesitation"


steps = st.one_of(
    st.tuples(st.just("begin")),
    st.tuples(st.just("rolled back")),
    st.tuples(
        st.just("partial"), st.floats(0, 20_000), st.floats(0, 700), st.sampled_from([UNFINISHED, FINISHED, "", "um"])
    ),
    st.tuples(st.just("late"), st.floats(0, 3), st.one_of(st.none(), st.floats(-1, 3)), st.booleans()),
)


@given(
    st.lists(st.tuples(st.floats(-0.5, 8.0), steps), max_size=60),
    st.builds(FillerSettings, every_s=st.floats(0.5, 10), most=st.integers(0, 3), every_turns=st.integers(1, 4)),
)
def test_no_order_of_calls_breaks_a_limit(
    calls: list[tuple[float, tuple[object, ...]]], limits: FillerSettings
) -> None:
    murmurs = FillerPolicy(limits)
    now, turn, rolled_back = 100.0, 0, False
    signs: list[tuple[float, int]] = []
    hesitations: list[int] = []
    for passed, (what, *arguments) in calls:
        now += passed  # it may even go backwards
        if what == "begin":
            murmurs.begin()
            turn, rolled_back = turn + 1, False
        elif what == "rolled back":
            murmurs.rolled_back()
            rolled_back = True
        elif what == "partial":
            spoken, pause, words = arguments
            if murmurs.partial(now, spoken, pause, words):  # type: ignore[arg-type]
                assert spoken >= limits.after_ms and 200.0 <= pause <= 400.0 and words != FINISHED  # type: ignore[operator]
                signs.append((now, turn))
        else:
            silent, expected, ready = arguments
            due = None if expected is None else now + expected  # type: ignore[operator]
            if murmurs.late(now, now - silent, due, ready=bool(ready)):  # type: ignore[operator]
                assert not ready and not rolled_back
                hesitations.append(turn)
    assert all(later - earlier >= limits.every_s for (earlier, _), (later, _) in zip(signs, signs[1:], strict=False))
    assert all(sum(at == each for _, at in signs) <= limits.most for each in range(turn + 1))
    assert all(b - a >= limits.every_turns for a, b in zip(hesitations, hesitations[1:], strict=False))
    assert (murmurs.backchannels, murmurs.hesitations) == (len(signs), len(hesitations))
