"""What a step of the model costs, learnt from the steps that were made.

A step's time is taken as

    seconds = decode(w) + prompt tokens * per_token        w: streams that write in it

where `decode` is learnt for each width w by itself (it is far from proportional: the weights are read once for all) and
`per_token` from the steps in which prompts were evaluated. Estimates move by a tenth of the way to each new
observation, and never by more than a quarter of themselves: on a shared machine one step in a hundred takes ten times
as long as it should, and says nothing about the next. The first step of a width is no exception, it moves what the
others let expect.

**A width that has not been seen for long is forgotten** when narrower ones are, and taken from these: since these times
decide how many may write at once, what was slow would otherwise never be tried again, and never be found to be fast.
"""

from __future__ import annotations

_STEP = 0.1
"""How far an estimate moves towards an observation."""
_MOST = 0.25
"""The largest move, as a part of the estimate."""
_GROWTH = 0.4
"""How much longer a step of twice the width takes, until that is known: llama.cpp on a CPU, 143 M parameters in Q4_0,
took 15.6, 24.9, 30 and 56 ms with 1, 2, 4 and 8 streams."""
_REMEMBERED = 128
"""Steps without a width after which it is forgotten: a few seconds of speech."""
_TELLING = 4
"""Prompt tokens in a step from which their cost can be told from noise."""


class StepTimes:
    """Estimates for one model on one machine."""

    def __init__(self) -> None:
        self._decode: dict[int, float] = {}
        self._seen: dict[int, int] = {}
        """At which of the steps without prompts each width was last seen."""
        self._steps = 0
        self._per_token: float | None = None

    def observe(self, writers: int, prompt_tokens: int, seconds: float) -> None:
        """Learn from a step."""
        if seconds < 0 or writers < 0 or prompt_tokens < 0:
            raise ValueError(f"a step of {writers} writers and {prompt_tokens} tokens cannot take {seconds} s")
        if not prompt_tokens:
            if writers:
                self._decode[writers] = _towards(self.decode_s(writers) or None, seconds)
                self._forget(writers)
        elif prompt_tokens >= _TELLING:
            alone = self.decode_s(writers) if writers else 0.0
            if seconds > alone:
                self._per_token = _towards(self._per_token, (seconds - alone) / prompt_tokens)

    def decode_s(self, writers: int) -> float:
        """Return what a step of so many writers takes, in seconds; 0 when nothing is known yet.

        Between widths that were seen it is interpolated; beyond them it grows from the nearest by `_GROWTH`. No width
        takes longer than a wider one.
        """
        if writers in self._decode:  # as nearly always
            return min(seen for width, seen in self._decode.items() if width >= writers)
        if not writers or not self._decode:
            return 0.0
        below = max((width for width in self._decode if width <= writers), default=None)
        above = min((width for width in self._decode if width >= writers), default=None)
        if below is None:
            assert above is not None
            return self._decode[above]
        if above is None:
            return self._decode[below] * (1 + _GROWTH * (writers - below) / below)
        share = (writers - below) / (above - below)
        return self._decode[below] + share * (self._decode[above] - self._decode[below])

    def _forget(self, writers: int) -> None:
        """This width was seen; forget wider ones that have not been for long."""
        self._steps += 1
        self._seen[writers] = self._steps
        old = [width for width, seen in self._seen.items() if width > writers and self._steps - seen > _REMEMBERED]
        for width in old:
            del self._seen[width], self._decode[width]

    def tokens_within(self, writers: int, seconds: float) -> int | None:
        """Return how many prompt tokens fit in a step beside the writers; None while nothing is known."""
        if self._per_token is None:
            return None
        return max(0, int((seconds - self.decode_s(writers)) / self._per_token))


def _towards(estimate: float | None, observed: float) -> float:
    if estimate is None:
        return observed
    most = _MOST * estimate
    return estimate + max(-most, min(most, _STEP * (observed - estimate)))
