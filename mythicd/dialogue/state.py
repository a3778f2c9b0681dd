"""The dialogue state machine of one character, as one table: (state, event) -> (state, commands).

Everything that affects a transition stands in TABLE: code elsewhere carries out commands and never sets a state.
Nothing here knows of time, audio, models or sockets; timeouts arrive as events. An event that is not in the table for
a state is illegal there: `advance` raises and nothing changes. Events that may race with a change of state (a late
`Replied` after a cut) are in the table and do nothing. What was heard of a reply is settled when its playback stops,
which may be after its turn was cut, so `PlaybackStopped` is legal in every state. docs/dialogue.md explains the states.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal


class State(StrEnum):
    """The state of a character's dialogue."""

    IDLE = "Idle"
    """Neither the player nor the character is talking."""
    LISTENING = "Listening"
    """The player is talking."""
    PAUSING = "Pausing"
    """The player is silent and may be done: a response is being prepared, and nothing of it is sent."""
    THINKING = "Thinking"
    """The player is done: the response is committed, and no sound of it has been sent."""
    SPEAKING = "Speaking"
    """Sound has been sent; it may still be playing after the last of it was sent."""
    DUCKED = "Ducked"
    """The player's voice over the character's, which is softer until it is known whether it is interrupted."""
    BARGE_IN = "BargeIn"
    """The player interrupts: the voice is being cut, and the new words are being recognised."""


Told = Literal["Idle", "Listening", "Thinking", "Speaking", "BargeIn"]
TOLD: dict[State, Told] = {
    State.IDLE: "Idle",
    State.LISTENING: "Listening",
    State.PAUSING: "Listening",
    State.THINKING: "Thinking",
    State.SPEAKING: "Speaking",
    State.DUCKED: "Speaking",
    State.BARGE_IN: "BargeIn",
}
"""The state as a game is told it. Pausing and Ducked are not reported: the player sees no difference."""


class Event(StrEnum):
    """An event in a character's dialogue."""

    SPEECH_START = "SpeechStart"
    """Speech begins in the open microphone."""
    FLOOR_TAKEN = "FloorTaken"
    """The push-to-talk key is pressed: the player certainly wants to speak."""
    SOFT_END = "SoftEnd"
    """A short silence: the player may be done."""
    SPEECH_RESUMED = "SpeechResumed"
    """The player goes on after a soft end."""
    INTERRUPTED = "Interrupted"
    """The player's voice over the character's is an interruption: neither a backchannel nor a false start."""
    SPEECH_LOST = "SpeechLost"
    """It was not speech, or only a backchannel, or its microphone stream ended."""
    HARD_END = "HardEnd"
    """The player's turn is over: silence, or the push-to-talk key was released."""
    TEXT = "Text"
    """The player typed."""
    VOICE = "Voice"
    """The first sound of the reply was sent."""
    REPLIED = "Replied"
    """All of the reply was sent, or there was nothing to say."""
    FAILED = "Failed"
    """The reply could not be generated."""
    PLAYBACK_STOPPED = "PlaybackStopped"
    """The client has stopped playing: the reply ended, or the cut took effect (or the wait for that timed out)."""
    LEAVE = "Leave"
    """The client has disconnected."""


class Command(StrEnum):
    """A command that the character must carry out."""

    OPEN_TURN = "OpenTurn"
    """Begin a new turn for these words; the turn of a voice that is still playing stays open as well."""
    DROP_TURN = "DropTurn"
    """Close the turn that was opened last: there is nothing to answer."""
    PREPARE = "Prepare"
    """Prepare the response (recognise, search memory, generate, synthesise), and send nothing."""
    ROLLBACK = "Rollback"
    """Take back a response of which nothing was sent, without a trace."""
    COMMIT = "Commit"
    """The words are final: send the response, and make it first where none was prepared for these words."""
    DUCK = "Duck"
    """Soften the voice."""
    RESTORE = "Restore"
    """Bring the voice back, and its turn."""
    CUT = "Cut"
    """Stop the reply: cancel its work and end its stream. `SETTLE` closes its turn."""
    SETTLE = "Settle"
    """Log what was heard of the turn that was played last, and close it."""


S, E, C = State, Event, Command

TABLE: dict[State, dict[Event, tuple[State, tuple[Command, ...]]]] = {
    S.IDLE: {
        E.SPEECH_START: (S.LISTENING, (C.OPEN_TURN,)),
        E.FLOOR_TAKEN: (S.LISTENING, (C.OPEN_TURN,)),
        E.TEXT: (S.THINKING, (C.OPEN_TURN, C.COMMIT)),
        E.PLAYBACK_STOPPED: (S.IDLE, ()),
        E.REPLIED: (S.IDLE, ()),
        E.FAILED: (S.IDLE, ()),
        E.LEAVE: (S.IDLE, ()),
    },
    S.LISTENING: {
        E.SOFT_END: (S.PAUSING, (C.PREPARE,)),
        E.SPEECH_LOST: (S.IDLE, (C.DROP_TURN,)),
        E.HARD_END: (S.THINKING, (C.COMMIT,)),
        E.TEXT: (S.THINKING, (C.DROP_TURN, C.OPEN_TURN, C.COMMIT)),
        # After a barge-in was settled the player may be at a pause already: then there is nothing to roll back.
        E.SPEECH_RESUMED: (S.LISTENING, ()),
        E.PLAYBACK_STOPPED: (S.LISTENING, ()),
        E.REPLIED: (S.LISTENING, ()),
        E.FAILED: (S.LISTENING, ()),
        E.LEAVE: (S.IDLE, (C.DROP_TURN,)),
    },
    S.PAUSING: {
        E.SPEECH_RESUMED: (S.LISTENING, (C.ROLLBACK,)),
        E.HARD_END: (S.THINKING, (C.COMMIT,)),
        E.SPEECH_LOST: (S.IDLE, (C.ROLLBACK, C.DROP_TURN)),
        E.TEXT: (S.THINKING, (C.ROLLBACK, C.DROP_TURN, C.OPEN_TURN, C.COMMIT)),
        E.PLAYBACK_STOPPED: (S.PAUSING, ()),
        E.REPLIED: (S.PAUSING, ()),
        E.FAILED: (S.PAUSING, ()),
        E.LEAVE: (S.IDLE, (C.ROLLBACK, C.DROP_TURN)),
    },
    S.THINKING: {
        # The wait was too short, the player goes on: the same turn is heard further.
        E.SPEECH_START: (S.LISTENING, (C.ROLLBACK,)),
        # The player takes it back: the old words are not answered.
        E.FLOOR_TAKEN: (S.LISTENING, (C.CUT, C.SETTLE, C.OPEN_TURN)),
        E.TEXT: (S.THINKING, (C.CUT, C.SETTLE, C.OPEN_TURN, C.COMMIT)),
        E.VOICE: (S.SPEAKING, ()),
        E.REPLIED: (S.IDLE, (C.SETTLE,)),
        E.FAILED: (S.IDLE, (C.SETTLE,)),
        E.PLAYBACK_STOPPED: (S.THINKING, ()),
        E.LEAVE: (S.IDLE, (C.CUT, C.SETTLE)),
    },
    S.SPEAKING: {
        E.SPEECH_START: (S.DUCKED, (C.DUCK, C.OPEN_TURN)),
        # The new turn is heard while the old one is being cut and settled.
        E.FLOOR_TAKEN: (S.BARGE_IN, (C.CUT, C.OPEN_TURN)),
        E.TEXT: (S.THINKING, (C.CUT, C.SETTLE, C.OPEN_TURN, C.COMMIT)),
        E.REPLIED: (S.SPEAKING, ()),
        E.FAILED: (S.IDLE, (C.CUT, C.SETTLE)),
        E.PLAYBACK_STOPPED: (S.IDLE, (C.SETTLE,)),
        E.LEAVE: (S.IDLE, (C.CUT, C.SETTLE)),
    },
    S.DUCKED: {
        E.INTERRUPTED: (S.BARGE_IN, (C.CUT,)),
        E.SPEECH_LOST: (S.SPEAKING, (C.DROP_TURN, C.RESTORE)),
        E.TEXT: (S.THINKING, (C.CUT, C.SETTLE, C.DROP_TURN, C.OPEN_TURN, C.COMMIT)),
        E.REPLIED: (S.DUCKED, ()),
        # There is nothing left to interrupt: what is being said is an ordinary turn.
        E.PLAYBACK_STOPPED: (S.LISTENING, (C.SETTLE,)),
        E.FAILED: (S.LISTENING, (C.CUT, C.SETTLE)),
        E.LEAVE: (S.IDLE, (C.CUT, C.SETTLE, C.DROP_TURN)),
    },
    S.BARGE_IN: {
        E.PLAYBACK_STOPPED: (S.LISTENING, (C.SETTLE,)),
        E.SPEECH_LOST: (S.IDLE, (C.SETTLE, C.DROP_TURN)),
        E.HARD_END: (S.THINKING, (C.SETTLE, C.COMMIT)),
        E.TEXT: (S.THINKING, (C.SETTLE, C.DROP_TURN, C.OPEN_TURN, C.COMMIT)),
        # Before it is known what was heard of the old reply, nothing can be prepared.
        E.SOFT_END: (S.BARGE_IN, ()),
        E.SPEECH_RESUMED: (S.BARGE_IN, ()),
        E.REPLIED: (S.BARGE_IN, ()),
        E.FAILED: (S.BARGE_IN, ()),
        E.LEAVE: (S.IDLE, (C.SETTLE, C.DROP_TURN)),
    },
}


class IllegalEvent(Exception):
    """An event that cannot happen in this state: a bug in the daemon, not an error of the player or the game."""


def advance(state: State, event: Event) -> tuple[State, tuple[Command, ...]]:
    """Return the next state and the commands, in order. Raises IllegalEvent."""
    try:
        return TABLE[state][event]
    except KeyError:
        raise IllegalEvent(f"Event {event} is illegal in state {state}.") from None


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
