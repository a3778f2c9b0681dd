"""The dialogue of one character, as one table: (state, event) -> (state, commands).

Rules of this file:
  1. Everything that affects a transition stands in TABLE. Code elsewhere carries out commands; it never sets a state.
  2. Nothing here knows of time, audio, models or sockets. Timeouts arrive as events like everything else.

Theory. A turn is open from OPEN_TURN until SETTLE or DROP_TURN. At most two are: during a barge-in, the one that is
being cut and the one that is being heard. A character is in one of five states:

    Idle       nobody is talking
    Listening  the player is talking
    Thinking   the player is done; words, memory and the reply are on their way, and no sound has left yet
    Speaking   sound has left; it may still be audible after the last of it was sent
    BargeIn    the player talks over the character: the voice is being cut, the new words are being heard

A turn begins when the player starts to speak (or types) and ends when the reply has been played, was cut off, failed,
or never came. What was heard of a reply is settled when its playback stops, which may be after its turn was cut: so
`PlaybackStopped` is legal in every state and moves only two of them.

An event that is not in the table for a state is illegal there: `advance` raises and nothing changes. Events that may
race with a change of state (a late `Replied` after a cut) are in the table explicitly and do nothing.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a character's dialogue stands; the values are the wire's."""

    IDLE = "Idle"
    LISTENING = "Listening"
    THINKING = "Thinking"
    SPEAKING = "Speaking"
    BARGE_IN = "BargeIn"


class Event(StrEnum):
    """What can happen to a character."""

    SPEECH_START = "SpeechStart"
    """The player begins to speak."""
    SPEECH_LOST = "SpeechLost"
    """What seemed to be speech was none, or its microphone vanished."""
    SPEECH_END = "SpeechEnd"
    """The player's turn is over: silence, or the push-to-talk key was released."""
    TEXT = "Text"
    """The player typed."""
    VOICE = "Voice"
    """The first sound of the reply left."""
    REPLIED = "Replied"
    """All of the reply was sent, or there was nothing to say."""
    FAILED = "Failed"
    """The reply could not be made."""
    PLAYBACK_STOPPED = "PlaybackStopped"
    """The client is silent: the reply ended, or the cut took effect (or the wait for that timed out)."""
    LEAVE = "Leave"
    """The client is gone."""


class Command(StrEnum):
    """What the character must do now."""

    OPEN_TURN = "OpenTurn"
    """Begin a new turn for these words."""
    DROP_TURN = "DropTurn"
    """Nothing came of the turn that was opened last."""
    RESPOND = "Respond"
    """Recognise, remember, think, speak."""
    CUT = "Cut"
    """Stop the reply: cancel its work, silence its stream. Its turn is the one that `SETTLE` settles."""
    SETTLE = "Settle"
    """Write down what was heard of the turn that was cut, or else of the current one."""


S, E, C = State, Event, Command

TABLE: dict[State, dict[Event, tuple[State, tuple[Command, ...]]]] = {
    S.IDLE: {
        E.SPEECH_START: (S.LISTENING, (C.OPEN_TURN,)),
        E.TEXT: (S.THINKING, (C.OPEN_TURN, C.RESPOND)),
        E.PLAYBACK_STOPPED: (S.IDLE, ()),
        E.REPLIED: (S.IDLE, ()),
        E.FAILED: (S.IDLE, ()),
        E.LEAVE: (S.IDLE, ()),
    },
    S.LISTENING: {
        E.SPEECH_LOST: (S.IDLE, (C.DROP_TURN,)),
        E.SPEECH_END: (S.THINKING, (C.RESPOND,)),
        E.TEXT: (S.THINKING, (C.DROP_TURN, C.OPEN_TURN, C.RESPOND)),
        E.PLAYBACK_STOPPED: (S.LISTENING, ()),
        E.REPLIED: (S.LISTENING, ()),
        E.FAILED: (S.LISTENING, ()),
        E.LEAVE: (S.IDLE, (C.DROP_TURN,)),
    },
    S.THINKING: {
        # Speech before the first sound: the player goes on, or takes it back. The old words are answered no more.
        E.SPEECH_START: (S.LISTENING, (C.CUT, C.SETTLE, C.OPEN_TURN)),
        E.TEXT: (S.THINKING, (C.CUT, C.SETTLE, C.OPEN_TURN, C.RESPOND)),
        E.VOICE: (S.SPEAKING, ()),
        E.REPLIED: (S.IDLE, (C.SETTLE,)),
        E.FAILED: (S.IDLE, (C.SETTLE,)),
        E.PLAYBACK_STOPPED: (S.THINKING, ()),
        E.LEAVE: (S.IDLE, (C.CUT, C.SETTLE)),
    },
    S.SPEAKING: {
        # The new turn is heard while the old one is being cut and settled.
        E.SPEECH_START: (S.BARGE_IN, (C.CUT, C.OPEN_TURN)),
        E.TEXT: (S.THINKING, (C.CUT, C.SETTLE, C.OPEN_TURN, C.RESPOND)),
        E.REPLIED: (S.SPEAKING, ()),
        E.FAILED: (S.IDLE, (C.CUT, C.SETTLE)),
        E.PLAYBACK_STOPPED: (S.IDLE, (C.SETTLE,)),
        E.LEAVE: (S.IDLE, (C.CUT, C.SETTLE)),
    },
    S.BARGE_IN: {
        E.PLAYBACK_STOPPED: (S.LISTENING, (C.SETTLE,)),
        E.SPEECH_LOST: (S.IDLE, (C.SETTLE, C.DROP_TURN)),
        E.SPEECH_END: (S.THINKING, (C.SETTLE, C.RESPOND)),
        E.TEXT: (S.THINKING, (C.SETTLE, C.DROP_TURN, C.OPEN_TURN, C.RESPOND)),
        E.REPLIED: (S.BARGE_IN, ()),
        E.FAILED: (S.BARGE_IN, ()),
        E.LEAVE: (S.IDLE, (C.SETTLE, C.DROP_TURN)),
    },
}


class IllegalEvent(Exception):
    """An event that cannot happen in this state: a mistake in the program, not in what the player did."""


def advance(state: State, event: Event) -> tuple[State, tuple[Command, ...]]:
    """Return the next state and what to do, in order. Raises IllegalEvent, and then nothing has changed."""
    try:
        return TABLE[state][event]
    except KeyError:
        raise IllegalEvent(f"{event} cannot happen while {state}.") from None


def diagram() -> str:
    """Return the table as a Mermaid state diagram; docs/dialogue.md is generated from it."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.IDLE}"]
    for state, row in TABLE.items():
        for event, (target, commands) in row.items():
            if state is target and not commands:
                continue
            does = f" / {', '.join(commands)}" if commands else ""
            lines.append(f"    {state} --> {target} : {event}{does}")
    return "\n".join(lines) + "\n"
