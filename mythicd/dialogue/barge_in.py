"""Barge-in detection: is the player's voice over the speaking character an interruption or a backchannel?

While the voice lasts, three things decide: a command ("stop", "wait"), as soon as it stands in the hypothesis; length,
because backchannels are short (here 240–740 ms); and when neither has, the end of the voice, with the final words.
Other words do not decide earlier, because the first hypotheses of a sound are guesses ("the", "who", "will you").
A voice that comes again after a backchannel is judged by its new words, but a command counts wherever it stands.
Time is an argument, in milliseconds of voice. The bounds are measured: see `tests/dialogue/test_barge_in.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from mythicd.text.spoken_words import spoken_words


class Verdict(Enum):
    """The meaning of a player's voice over the character's."""

    UNDECIDED = "undecided"
    BACKCHANNEL = "backchannel"
    """The character speaks on: a sign of listening, a cough, a false start, or a sound that was not understood."""
    INTERRUPTION = "interruption"
    """The character stops. Final."""


@dataclass(frozen=True, slots=True)
class BargeInSettings:
    """Lengths of voice, and the confidence that words need."""

    long_ms: float = 900.0
    """A voice that lasts longer is an interruption if it has said something by then, without its last word, which may
    still change."""
    sentence_ms: float = 750.0
    """From here on, three words after any signs of listening are an interruption, unless none has content."""
    longest_ms: float = 1500.0
    """A voice that lasts longer is an interruption in any case."""
    unclear_ms: float = 1350.0
    """A voice that was not understood, and is shorter, is taken for noise."""
    fastest_ms: float = 50.0
    """Milliseconds for each letter below which words were not understood: at 4.7 letters a word (English text) that is
    255 words a minute. "Hello there" in 280 ms is what was recognised for "good"."""
    slowest_ms: float = 180.0
    """Milliseconds for each letter above which words without content say nothing: "do the" in 960 ms is "oh, I see"."""
    slight_ms: float = 520.0
    """Shorter than this, words without content ("the", "who", "are you") are a misrecognised sound."""
    believed: float = 0.15
    """Confidence below which words were not understood."""
    has_reliable_partials: bool = False
    """Whether words are what was said from the first hypothesis on, and not a guess (`Asr.has_reliable_partials`)."""
    few_ms: float = 300.0
    """From here on, two words after any signs of listening are an interruption, if the partials are reliable and one of
    them has content; three words are one at any time."""


_SIGNS: Final = (
    "mhm|hmm|hm|mm|um|uh|huh|aha|ah|oh|ooh|okay|ok|right|yeah|yes|yep|sure|wow|great|nice|good|true|really|indeed|"
    "exactly|fine|interesting|cool|ha|haha|i see|of course|all right|alright|got it|very good|oh no|makes sense|"
    "fair enough"
)
"""Signs of listening: what a listener says."""
_COMMANDS: Final = (
    "stop|wait|enough|quiet|shut up|hold on|hang on|no no|no wait|listen|excuse me|never mind|forget it|"
    "let me speak|let me talk|one moment|just a moment"
)
"""Commands: they count anywhere in the words, and at once."""
_SLIGHT: Final = (
    "the|a|an|i|you|we|who|when|why|how|so|then|well|will|would|do|did|are|is|am|was|it|that|to|of|and|but|for|"
    "show|what's|let|be|can|in|on|my|me|this|i'm|at|where|them|him"
)
"""Words without content, which a recogniser also makes of noises."""
_ONLY_SIGNS = re.compile(rf"(?:{_SIGNS})(?: (?:{_SIGNS}))*")
_LEADING_SIGNS = re.compile(rf"^(?:(?:{'|'.join(sorted(_SIGNS.split('|'), key=len, reverse=True))})(?: |$))+")
_COMMAND = re.compile(rf"(?:^|.* )(?:{_COMMANDS})(?: .*)?$")
_ONLY_SLIGHT = re.compile(rf"(?:{_SLIGHT}|{_SIGNS})(?: (?:{_SLIGHT}|{_SIGNS}))*")


def _plain(words: str) -> str:
    """Return words in lower case, without punctuation: "Mm-hm." is "mm hm"."""
    return " ".join(spoken_words(words))


class BargeIn:
    """The barge-in detector for one utterance of the player over the character's voice."""

    def __init__(self, settings: BargeInSettings | None = None) -> None:
        self._settings = settings or BargeInSettings()
        self._verdict = Verdict.UNDECIDED
        self._from_ms = 0.0
        """Where the part that is judged begins: after an end, where the voice came again."""
        self._judged = 0
        """Words that have been judged with an earlier part."""
        self._heard = 0
        """Words at the last end."""
        self._ended = False

    @property
    def verdict(self) -> Verdict:
        """The last verdict."""
        return self._verdict

    def add(self, voiced_ms: float, words: str) -> Verdict:
        """Take how long the voice has lasted, and the words so far; call it with each hypothesis while it sounds."""
        if self._verdict is Verdict.INTERRUPTION:
            return self._verdict
        if self._ended:
            self._ended, self._from_ms, self._judged = False, voiced_ms, self._heard
        lasted = voiced_ms - self._from_ms
        said = self._new(words)
        # A long sound that is recognised as a single word is laughter, not speech; "okay them" is a partial
        # hypothesis of "okay, okay", and "them to him" one of "hmm, hmm".
        settled = said.rpartition(" ")[0]
        long = lasted >= self._settings.long_ms and bool(settled) and not _ONLY_SLIGHT.fullmatch(settled)
        meant = _LEADING_SIGNS.sub("", said)
        sentence = lasted >= self._settings.sentence_ms and meant.count(" ") >= 2 and not _ONLY_SLIGHT.fullmatch(meant)
        if long or sentence or self._says_much(meant, lasted) or lasted >= self._settings.longest_ms:
            return self._decide(Verdict.INTERRUPTION)
        if _COMMAND.fullmatch(_plain(words)):
            return self._decide(Verdict.INTERRUPTION)
        return self._decide(Verdict.UNDECIDED)

    def end(self, voiced_ms: float, words: str, confidence: float) -> Verdict:
        """Take a pause of the voice, with its words and their confidence (0–1); return the verdict if this is the end.

        A second call at the same pause judges the same words.
        """
        if self._verdict is Verdict.INTERRUPTION:
            return self._verdict
        self._ended, self._heard = True, len(_plain(words).split())
        if _COMMAND.fullmatch(_plain(words)):
            return self._decide(Verdict.INTERRUPTION)
        return self._decide(self._judge(voiced_ms - self._from_ms, self._new(words), confidence))

    def _judge(self, lasted_ms: float, said: str, confidence: float) -> Verdict:
        settings = self._settings
        if _ONLY_SIGNS.fullmatch(said):
            return Verdict.BACKCHANNEL
        letter_ms = lasted_ms / max(1, sum(map(str.isalpha, said)))
        # After an end, a first sound may be missing from the length.
        too_fast = letter_ms < settings.fastest_ms and not self._from_ms
        if not said or confidence < settings.believed or too_fast:
            return Verdict.BACKCHANNEL if lasted_ms < settings.unclear_ms else Verdict.INTERRUPTION
        odd = lasted_ms < settings.slight_ms or letter_ms > settings.slowest_ms
        return Verdict.BACKCHANNEL if odd and _ONLY_SLIGHT.fullmatch(said) else Verdict.INTERRUPTION

    def _says_much(self, meant: str, lasted_ms: float) -> bool:
        """Whether these words, without signs of listening, are more than a listener says."""
        if not self._settings.has_reliable_partials:
            return False
        count = len(meant.split())
        has_content = bool(meant) and not _ONLY_SLIGHT.fullmatch(meant)
        return count >= 3 or (count == 2 and has_content and lasted_ms >= self._settings.few_ms)

    def _new(self, words: str) -> str:
        all_words = _plain(words).split()
        # Fewer words than were judged: the first ones are recognised differently now, so all of them count as new.
        return " ".join(all_words[self._judged :] or all_words)

    def _decide(self, verdict: Verdict) -> Verdict:
        self._verdict = verdict
        return verdict
