"""The dialogue of one character, as one table: (state, event) -> (state, commands).

Rules of this file:
  1. Everything that affects a transition stands in TABLE. Code elsewhere carries out commands; it never sets a state.
  2. Nothing here knows of time, audio, models or sockets. Timeouts arrive as events like everything else.

Theory. A turn is open from OPEN_TURN until SETTLE or DROP_TURN. At most two are: while the player talks over the
character, the one whose voice still sounds and the one that is being heard. A character is in one of seven states:

    Idle       nobody is talking
    Listening  the player is talking
    Pausing    the player has fallen silent and may be done: an answer is being made of which nothing leaves yet
    Thinking   the player is done; the answer counts, and no sound of it has left yet
    Speaking   sound has left; it may still be audible after the last of it was sent
    Ducked     a voice over the character's: it speaks on, softer, until it is known whether it is interrupted
    BargeIn    it is: the voice is being cut, the new words are being heard

A turn begins when the player starts to speak (or types) and ends when the reply has been played, was cut off, failed,
or never came. An answer is *prepared* at a pause, *rolled back* when the player goes on (nothing of it was heard, sent
or written down, so nothing is lost), and *committed* when the player's turn is over. What was heard of a reply is
settled when its playback stops, which may be after its turn was cut: so `PlaybackStopped` is legal in every state and
moves only three of them.

An event that is not in the table for a state is illegal there: `advance` raises and nothing changes. Events that may
race with a change of state (a late `Replied` after a cut) are in the table explicitly and do nothing.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal


class State(StrEnum):
    """Where a character's dialogue stands."""

    IDLE = "Idle"
    LISTENING = "Listening"
    PAUSING = "Pausing"
    THINKING = "Thinking"
    SPEAKING = "Speaking"
    DUCKED = "Ducked"
    BARGE_IN = "BargeIn"


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
"""What a game is told. Two states are the daemon's own business: nothing that the game could see has changed."""


class Event(StrEnum):
    """What can happen to a character."""

    SPEECH_START = "SpeechStart"
    """The open microphone hears a voice."""
    FLOOR_TAKEN = "FloorTaken"
    """The player wants to be heard, beyond doubt: the push-to-talk key is pressed."""
    SOFT_END = "SoftEnd"
    """The player has fallen silent, and may be done."""
    SPEECH_RESUMED = "SpeechResumed"
    """The player was not."""
    INTERRUPTED = "Interrupted"
    """The voice over the character's means it: neither a backchannel nor a false start."""
    SPEECH_LOST = "SpeechLost"
    """What seemed to be speech was none, or only a backchannel, or its microphone vanished."""
    HARD_END = "HardEnd"
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
    """Begin a new turn for these words; the turn of a voice that still sounds is kept beside it."""
    DROP_TURN = "DropTurn"
    """Nothing came of the turn that was opened last."""
    PREPARE = "Prepare"
    """Recognise, remember, think, make a voice; let nothing out."""
    ROLLBACK = "Rollback"
    """Undo an answer of which nothing was heard, as if it had never been begun."""
    COMMIT = "Commit"
    """The words are final: let the answer out, and make it first where none was prepared for these words."""
    DUCK = "Duck"
    """Soften the voice."""
    RESTORE = "Restore"
    """Bring the voice back, and its turn."""
    CUT = "Cut"
    """Stop the reply: cancel its work, silence its stream. Its turn is the one that `SETTLE` settles."""
    SETTLE = "Settle"
    """Write down what was heard of the turn that sounded last, and close it."""


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
        # After a barge-in was settled the player may be at a pause already: then there is nothing to take back.
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
        # The player takes it back: the old words are answered no more.
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
