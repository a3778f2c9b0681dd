"""A turn: the player's words, the character's response to them, and what both are made of at the moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from mythicd.character.speak.commit_gate import CommitGate
from mythicd.character.speak.speech_output import SpeechOutput
from mythicd.character.think.reply_input import ReplyInput
from mythicd.dialogue.state import Event
from mythicd.telemetry.timeline import Timeline

RESPONSE_PATIENCE_S = 60.0
"""How long a response may make no progress; a big model on a slow machine takes half a minute for a long prompt."""


@dataclass(frozen=True, slots=True)
class ResponseEvent:
    """What a response's own work reports to its character."""

    response: Response
    event: Event


@dataclass(frozen=True, slots=True)
class ResponseProgress:
    """A response has begun to be spoken, or one of its tool calls has got its place in the audio: one may be due."""

    response: Response


@dataclass(slots=True, eq=False)
class Response:
    """A reply to the words as they stood when it was begun. Nothing of it leaves before it is committed."""

    turn_id: str
    gate: CommitGate
    timeline: Timeline
    post: Callable[[ResponseEvent | ResponseProgress], None]
    """Puts reports into the character's mailbox."""
    words: str | None = None
    """None until the recogniser has said what they are."""
    confidence: float = 1.0
    play_emote: Callable[[str], str | None] | None = None
    """Opens the tool call that plays a stage direction; returns its id, or None where the world has none."""
    input: ReplyInput | None = None
    """What is asked of the model; None until memory was searched."""
    output: SpeechOutput | None = None
    work: asyncio.Task[None] | None = None
    committed_s: float = 0.0
    """When it was committed, on the monotonic clock."""

    @property
    def deadline_s(self) -> float | None:
        """When a response that makes no progress is given up; None before it is committed."""
        if not self.gate.is_committed:
            return None
        return max(self.committed_s, self.output.moved_s if self.output is not None else 0.0) + RESPONSE_PATIENCE_S

    def report(self, event: Event) -> None:
        """Tell the character what became of it."""
        self.post(ResponseEvent(self, event))

    def voice_started(self) -> None:
        """Its first sound has left (speech_output.OutputListener)."""
        self.report(Event.VOICE)

    def gestured(self, direction: str) -> str | None:
        """Return the id of the tool call that plays a stage direction (speech_output.OutputListener)."""
        return None if self.play_emote is None else self.play_emote(direction)

    def progressed(self) -> None:
        """One of its tool calls may be due (speech_output.OutputListener)."""
        self.post(ResponseProgress(self))


@dataclass(slots=True, eq=False)
class Turn:
    """The player's words and the character's response to them."""

    turn_id: str
    number: int
    started_at: float
    """Unix time."""
    timeline: Timeline = field(default_factory=Timeline)
    words: str = ""
    before: str = ""
    """Words that were final once, before the player went on after all."""
    confidence: float = 1.0
    source: str = "speech"
    response: Response | None = None
    """The response that is being made, or was."""
    tries: int = 0
    """Responses that were prepared for it, in pauses longer than a stop within a word."""
    noted: bool = False
    """Whether the player's words are logged."""
    was_late: bool = False
    """Whether the silence before the reply was looked at, and filled or left."""

    @property
    def output(self) -> SpeechOutput | None:
        """The speech of its response, as far as it was made."""
        return self.response.output if self.response is not None else None

    @property
    def reply_is_awaited(self) -> bool:
        """Whether the response is committed and nothing of it is audible yet."""
        is_committed = self.response is not None and self.response.gate.is_committed
        return is_committed and not (self.output is not None and self.output.audible)

    def with_before(self, words: str) -> str:
        """Return these words after those that were final once."""
        return f"{self.before} {words}".strip()
