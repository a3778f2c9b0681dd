"""A voice over the character's: does it mean to interrupt, or only to listen?

"Mm-hm", "right", a cough: short, and of few words. An interruption goes on, says something else, or commands. Pure: how
long it lasted and what was understood of it come in.
"""

from __future__ import annotations

from enum import Enum

LONGEST_MS = 700.0
"""A backchannel is rarely longer."""
_LISTENING = frozenset("mm hm mhm uh huh yeah yes right okay ok i see oh ah really sure good true indeed hmm".split())
_COMMANDS = frozenset("stop wait no enough quiet silence hold".split())


class Verdict(Enum):
    """What a voice over the character's is."""

    UNDECIDED = "undecided"
    BACKCHANNEL = "backchannel"
    INTERRUPTION = "interruption"


class Interruption:
    """One voice over the character's, until it is judged."""

    def hear(self, words: str, voiced_ms: float) -> Verdict:
        """Judge what is under way: all words so far, and how long it has lasted."""
        said = words.lower().split()
        commands = any(word in _COMMANDS for word in said)
        speaks = len(said) >= 2 and not _LISTENING.issuperset(said)
        return Verdict.INTERRUPTION if voiced_ms > LONGEST_MS or commands or speaks else Verdict.UNDECIDED

    def end(self, words: str, confidence: float | None, voiced_ms: float, *, final: bool = False) -> Verdict:
        """Judge what has ended, or pauses (`confidence` None: the words may still change)."""
        said = words.lower().split()
        if voiced_ms > LONGEST_MS or not _LISTENING.issuperset(said):
            return Verdict.INTERRUPTION
        return Verdict.BACKCHANNEL
