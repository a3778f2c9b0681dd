"""The dialogue table: every row exercised, and what must hold over any run of events."""

from __future__ import annotations

import itertools
from typing import get_args, get_type_hints

import pytest

from mythicd.dialogue.state import TABLE, TOLD, Command, Event, IllegalEvent, State, advance, diagram
from mythicd.wire.messages import NpcState

LEGAL = [(state, event) for state, row in TABLE.items() for event in row]
ILLEGAL = [pair for pair in itertools.product(State, Event) if pair not in LEGAL]


class Turns:
    """What a character keeps of its turns, and what its commands may assume."""

    def __init__(self, current: str | None, under: str | None) -> None:
        self.current = current
        """`new`; `prepared` while an answer is made that does not count; `replied` once it does."""
        self.under = under
        """Another turn, whose voice is `ducked` or was `cut` and not yet settled."""

    def obey(self, command: Command) -> None:
        match command:
            case Command.OPEN_TURN:
                assert self.current is None, "a turn opens while another one is current"
                self.current = "new"
            case Command.PREPARE:
                assert self.current == "new", "an answer is made only once at a time"
                self.current = "prepared"
            case Command.ROLLBACK:
                assert self.current in ("prepared", "replied"), "there is no answer to take back"
                self.current = "new"
            case Command.COMMIT:
                assert self.current in ("new", "prepared"), "a turn is answered once"
                self.current = "replied"
            case Command.DUCK:
                assert self.current == "replied" and self.under is None, "there is no voice to soften"
                self.current, self.under = None, "ducked"
            case Command.RESTORE:
                assert self.current is None and self.under == "ducked", "there is no voice to bring back"
                self.current, self.under = "replied", None
            case Command.CUT if self.under == "ducked":
                self.under = "cut"
            case Command.CUT:
                assert self.current == "replied", "there is no reply to cut"
                assert self.under is None, "a third turn would be open"
                self.current, self.under = None, "cut"
            case Command.SETTLE if self.under is not None:
                self.under = None
            case Command.SETTLE:
                assert self.current == "replied", "nothing was said that could be settled"
                self.current = None
            case Command.DROP_TURN:
                assert self.current == "new", "a reply is dropped: what was heard of it is lost"
                self.current = None


OPEN_IN: dict[State, tuple[str | None, str | None]] = {
    State.IDLE: (None, None),
    State.LISTENING: ("new", None),
    State.PAUSING: ("prepared", None),
    State.THINKING: ("replied", None),
    State.SPEAKING: ("replied", None),
    State.DUCKED: ("new", "ducked"),
    State.BARGE_IN: ("new", "cut"),
}
"""The turns that are open in each state: the current one, and the one beside it."""


def test_every_state_has_its_row() -> None:
    assert set(TABLE) == set(State)


@pytest.mark.parametrize(("state", "event"), LEGAL, ids=str)
def test_every_row_leads_to_a_state_and_says_what_to_do(state: State, event: Event) -> None:
    target, commands = advance(state, event)
    assert target in State
    assert len(set(commands)) == len(commands)
    # An old turn is closed before a new one opens, and a reply is made of a turn that is open.
    order = [Command.ROLLBACK, Command.CUT, Command.SETTLE, Command.DROP_TURN, Command.RESTORE, Command.DUCK]
    order += [Command.OPEN_TURN, Command.PREPARE, Command.COMMIT]
    assert list(commands) == sorted(commands, key=order.index)


@pytest.mark.parametrize(("state", "event"), ILLEGAL, ids=str)
def test_illegal_event_raises_and_changes_nothing(state: State, event: Event) -> None:
    before = {state: dict(row) for state, row in TABLE.items()}
    with pytest.raises(IllegalEvent, match=rf"\b{event}\b.*\b{state}\b"):
        advance(state, event)
    assert before == TABLE


def test_a_spoken_turn() -> None:
    state, given = State.IDLE, []
    for event in (
        *(Event.SPEECH_START, Event.SOFT_END, Event.SPEECH_RESUMED, Event.SOFT_END, Event.HARD_END),
        *(Event.VOICE, Event.REPLIED, Event.PLAYBACK_STOPPED),
    ):
        state, commands = advance(state, event)
        given.append((state.value, [command.value for command in commands]))
    assert given == [
        ("Listening", ["OpenTurn"]),
        ("Pausing", ["Prepare"]),
        ("Listening", ["Rollback"]),
        ("Pausing", ["Prepare"]),
        ("Thinking", ["Commit"]),
        ("Speaking", []),
        ("Speaking", []),
        ("Idle", ["Settle"]),
    ]


def test_a_voice_over_hers_softens_it_and_cuts_it_only_when_it_is_meant() -> None:
    state, commands = advance(State.SPEAKING, Event.SPEECH_START)
    assert (state, commands) == (State.DUCKED, (Command.DUCK, Command.OPEN_TURN))
    assert advance(state, Event.SPEECH_LOST) == (State.SPEAKING, (Command.DROP_TURN, Command.RESTORE))
    assert advance(state, Event.INTERRUPTED) == (State.BARGE_IN, (Command.CUT,))


def test_key_press_cuts_at_once_and_settles_when_playback_stops() -> None:
    state, commands = advance(State.SPEAKING, Event.FLOOR_TAKEN)
    assert (state, commands) == (State.BARGE_IN, (Command.CUT, Command.OPEN_TURN))
    state, commands = advance(state, Event.PLAYBACK_STOPPED)
    assert (state, commands) == (State.LISTENING, (Command.SETTLE,))


def test_the_client_may_fall_silent_or_leave_at_any_time() -> None:
    for state in State:
        assert Event.PLAYBACK_STOPPED in TABLE[state]
        assert advance(state, Event.LEAVE)[0] is State.IDLE


def test_a_player_can_always_type() -> None:
    for state in State:
        target, commands = advance(state, Event.TEXT)
        assert target is State.THINKING
        assert commands[-2:] == (Command.OPEN_TURN, Command.COMMIT)


def test_from_every_state_idle_is_reached_and_every_state_from_idle() -> None:
    reached = {State.IDLE}
    while True:
        more = reached | {target for state in reached for target, _ in TABLE[state].values()}
        if more == reached:
            break
        reached = more
    assert reached == set(State)
    assert all(State.IDLE in {target for target, _ in TABLE[state].values()} for state in State)


def test_turns_are_opened_answered_and_closed_in_order_whatever_happens() -> None:
    """All that can be reached is walked, not sampled: every legal event from every state with every set of turns."""
    reached: set[tuple[State, str | None, str | None]] = set()
    ahead: list[tuple[State, str | None, str | None]] = [(State.IDLE, None, None)]
    while ahead:
        here = ahead.pop()
        if here in reached:
            continue
        reached.add(here)
        state, current, under = here
        for event, (target, commands) in TABLE[state].items():
            turns = Turns(current, under)
            for command in commands:
                turns.obey(command)
            assert (turns.current, turns.under) == OPEN_IN[target], f"after {event} while {state}"
            ahead.append((target, turns.current, turns.under))
    assert {state for state, _, _ in reached} == set(State)


def test_every_turn_can_come_to_its_end_without_the_player() -> None:
    """However far a conversation came: if the player says no more, finitely many events of the daemon lead to Idle."""
    daemon = [Event.SPEECH_LOST, Event.VOICE, Event.REPLIED, Event.PLAYBACK_STOPPED]
    for start in State:
        state = start
        for event in daemon:
            if event in TABLE[state]:
                state, _ = advance(state, event)
        assert state is State.IDLE, f"stuck in {state}, from {start}"


def test_events_that_race_with_a_cut_do_nothing_afterwards() -> None:
    for state in (State.IDLE, State.LISTENING, State.PAUSING, State.BARGE_IN):
        for late in (Event.REPLIED, Event.FAILED):
            assert advance(state, late) == (state, ())


def test_a_game_is_told_of_no_state_in_which_nothing_has_changed_for_it() -> None:
    assert TOLD.keys() == set(State)
    assert set(TOLD.values()) == set(get_args(get_type_hints(NpcState)["state"]))


def test_the_diagram_shows_every_row_that_does_something() -> None:
    text = diagram()
    assert text.startswith("stateDiagram-v2\n    [*] --> Idle\n")
    shown = [(state, event) for state, event in LEGAL if advance(state, event) != (state, ())]
    assert len(text.splitlines()) == 2 + len(shown)
    for state, event in shown:
        assert f"    {state} --> {advance(state, event)[0]} : {event}" in text
