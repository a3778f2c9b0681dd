"""The cost model of a step: estimates its duration from the steps that were made.

    seconds = decode(w) + prompt tokens * per_token        w: streams that decode in it

`decode` is learnt for each width w, `per_token` from steps with prompt tokens. A width that has not been seen for
_REMEMBERED steps is forgotten: these times decide how many streams may decode at once, so a width that was slow once
would never be tried again (docs/llm.md, "The cost of a step").
"""

from __future__ import annotations

_STEP = 0.1
"""Share of the way that an estimate moves towards an observation."""
_MOST = 0.25
"""The largest move, as a share of the estimate: on a shared machine one step in a hundred takes ten times as long."""
_GROWTH = 0.4
"""How much longer a step of twice the width takes, until it is measured: llama.cpp on a CPU, 143 M parameters in Q4_0,
took 15.6, 24.9, 30 and 56 ms with 1, 2, 4 and 8 streams."""
_REMEMBERED = 128
"""Steps after which a width that was not seen is forgotten: a few seconds of speech."""
_TELLING = 4
"""Fewest prompt tokens in a step from which `per_token` is learnt; the cost of fewer is lost in noise."""


class StepTimes:
    """Estimated step times of one model on one machine."""

    def __init__(self) -> None:
        self._decode: dict[int, float] = {}
        self._seen: dict[int, int] = {}
        """Number of the step without prompts in which each width was last seen."""
        self._steps = 0
        self._per_token: float | None = None

    def observe(self, writers: int, prompt_tokens: int, seconds: float) -> None:
        """Update the estimates from a step. Raises ValueError for negative figures."""
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
        """Return the time of a step in which so many streams decode, in seconds; 0 before the first measurement.

        Between widths that were seen it is interpolated; beyond them it grows from the nearest by `_GROWTH`. No width
        takes longer than a wider one.
        """
        if writers in self._decode:  # the common case
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
        """Note that this width was seen, and forget wider ones that were not seen for long."""
        self._steps += 1
        self._seen[writers] = self._steps
        old = [width for width, seen in self._seen.items() if width > writers and self._steps - seen > _REMEMBERED]
        for width in old:
            del self._seen[width], self._decode[width]

    def tokens_within(self, writers: int, seconds: float) -> int | None:
        """Return how many prompt tokens fit in a step of that length with these writers; None before measurements."""
        if self._per_token is None:
            return None
        return max(0, int((seconds - self.decode_s(writers)) / self._per_token))


def _towards(estimate: float | None, observed: float) -> float:
    if estimate is None:
        return observed
    most = _MOST * estimate
    return estimate + max(-most, min(most, _STEP * (observed - estimate)))
