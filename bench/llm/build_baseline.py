"""The baseline: the two builds of llama.cpp alone, by whose ratio the other rows are divided.

Each build keeps its model loaded in its own process, and the two work in turn, a prompt or a step at a time, so that
changes of the machine affect both. Short prompts are many, because they are cheap and most rows are divided by their
ratio.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench.child_process import Child
from bench.llm import raw_llamacpp
from bench.stats import Interval, speedup, until_known

LONG, SHORT, STEPS = 512, 96, 24
"""Tokens of a prompt, evaluated in one batch; tokens that one stream writes after the long prompt."""
SHORTS = 12
"""Pairs of short prompts in each round."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """The same work by our build and by theirs, in turn, in milliseconds."""

    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> Interval:
        """Their build's time as a multiple of ours.

        The best time of each was tried instead: two runs of one day gave 0.99 and 1.05 for the same two builds.
        """
        return speedup(self.theirs, self.ours)


@dataclass(frozen=True, slots=True)
class Builds:
    """The builds' times with nothing around them."""

    long: Pairs = field(default_factory=Pairs)
    """A prompt of 512 tokens."""
    short: Pairs = field(default_factory=Pairs)
    """A prompt of 96 tokens."""
    step: Pairs = field(default_factory=Pairs)
    """One token of one stream after 512, the median of 24."""


class Build:
    """One build with the model, configured as its side does. A `Startable` of bench/child_process.py."""

    def __init__(self, library: Callable[[], Path], model: Path, flash: bool | None) -> None:
        """`library` returns the build; `flash` None leaves flash attention to llama.cpp."""
        self._library, self._model, self._flash = library, model, flash

    async def start(self) -> None:
        """Load the model, and warm up."""
        self.bare = raw_llamacpp.Bare(self._library(), self._model, n_ctx=2048, flash=self._flash)
        self.prompt(SHORT)

    async def stop(self) -> None:
        """Free it."""
        self.bare.close()

    def prompt(self, length: int) -> float:
        """Return the time of a prompt at position 0."""
        self.bare.trim(0, 0)
        return 1000 * self.bare.prefill(length)


async def prompt(build: Build, *, length: int) -> float:
    """Evaluate a prompt."""
    return build.prompt(length)


async def step(build: Build) -> float:
    """Write after a long prompt; return the median time of a step."""
    build.prompt(LONG)
    steps = sorted(build.bare.decode([0], [LONG], STEPS))
    return 1000 * steps[STEPS // 2]


def compare(model: Path, rounds: int, blocks: int = 1, core: int | None = None) -> Builds:
    """Measure both builds in `rounds` rounds; up to `blocks` blocks of rounds, until the short prompts' ratio is known.

    Further blocks are of short prompts alone.
    """
    found = Builds()
    with ExitStack() as stack:
        ours = stack.enter_context(Child("our build", Build, core, library=raw_llamacpp.ours, model=model, flash=True))
        theirs = stack.enter_context(
            Child("their build", Build, core, library=raw_llamacpp.theirs, model=model, flash=None)
        )

        def pair(pairs: Pairs, scene: Callable[..., Awaitable[float]], **arguments: int) -> None:
            pairs.ours.append(ours.run(scene, **arguments))
            pairs.theirs.append(theirs.run(scene, **arguments))

        def block() -> Interval:
            for _ in range(rounds):
                if len(found.long.ours) < rounds:
                    pair(found.long, prompt, length=LONG)
                    pair(found.step, step)
                for _ in range(SHORTS):
                    pair(found.short, prompt, length=SHORT)
            return found.short.ratio

        until_known(block, blocks)
    return found
