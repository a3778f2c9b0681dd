"""The filler policy: when a character says "Mm-hm." to a player who speaks long, or "Hmm." before a late answer.

* **backchannel**: the player has spoken for `after_ms`, and pauses without having ended (the words do not look
  finished). The pause is neither a breath (`pause_from_ms`) nor so long that the sound would fall into the next word or
  the answer (`pause_to_ms`). At most one in `every_s`, and `most` in a turn.
* **hesitation**: the answer's first sound is expected later than `late_ms` after the player's last, or is that late. At
  most in one of `every_turns` turns; never in a turn with a rollback, nor where the answer is ready.
Fillers do not shorten latency and are counted separately. Time is an argument, on one clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mythicd.dialogue.end_of_turn import looks_finished

FillerKind = Literal["backchannel", "hesitation"]
"""The occasion, as `canned_lines.line` names it."""


@dataclass(frozen=True, slots=True)
class FillerSettings:
    """Times and limits of fillers."""

    after_ms: float = 3500.0
    """Speech before the first backchannel of a turn."""
    pause_from_ms: float = 200.0
    """Shortest pause that gets one."""
    pause_to_ms: float = 400.0
    """Longest one: later, the player goes on, or the answer comes."""
    every_s: float = 6.0
    """Seconds from one backchannel to the next, across turns."""
    most: int = 2
    """Backchannels in a turn."""
    late_ms: float = 900.0
    """Silence from the player's last sound to the answer's first; a longer one gets a hesitation."""
    every_turns: int = 3
    """Of so many turns in a row, one may have a hesitation."""


class FillerPolicy:
    """The filler policy of one character. A filler that it returns counts as uttered."""

    def __init__(self, settings: FillerSettings | None = None) -> None:
        self._settings = settings or FillerSettings()
        self.backchannels = 0
        """Uttered so far."""
        self.hesitations = 0
        """Uttered so far."""
        self._in_turn = 0
        self._last_s: float | None = None
        self._since = self._settings.every_turns
        """Turns begun since the last hesitation."""
        self._rolled_back = False

    def begin(self) -> None:
        """Take the beginning of a player's turn."""
        self._in_turn = 0
        self._since += 1
        self._rolled_back = False

    def rolled_back(self) -> None:
        """Take a rollback of this turn's response: the player went on."""
        self._rolled_back = True

    def partial(self, now_s: float, spoken_ms: float, pause_ms: float, words: str) -> FillerKind | None:
        """Return a backchannel if one is due while the player speaks.

        `spoken_ms` is the speech by now, `pause_ms` the length of the pause (0 where there is none). Call it at least
        every 100 ms in a pause.
        """
        settings = self._settings
        if (
            spoken_ms < settings.after_ms
            or not settings.pause_from_ms <= pause_ms <= settings.pause_to_ms
            or self._in_turn >= settings.most
            or (self._last_s is not None and now_s - self._last_s < settings.every_s)
            or looks_finished(words)
        ):
            return None
        self._in_turn += 1
        self._last_s = now_s
        self.backchannels += 1
        return "backchannel"

    def late(
        self, now_s: float, speech_end_s: float, expected_s: float | None, *, ready: bool = False
    ) -> FillerKind | None:
        """Return a hesitation if one is due. Call it when the turn ends, and again until the answer is heard.

        `expected_s` is when the answer's first sound is expected, None where that is unknown; `ready` whether it is
        synthesised.
        """
        settings = self._settings
        due_s = now_s if expected_s is None else max(now_s, expected_s)
        if (
            ready
            or due_s < speech_end_s + settings.late_ms / 1000
            or self._since < settings.every_turns
            or self._rolled_back
        ):
            return None
        self._since = 0
        self.hesitations += 1
        return "hesitation"
