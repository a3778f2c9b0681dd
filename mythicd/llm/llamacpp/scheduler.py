"""The scheduler: chooses the batch of each step.

    a step  =  one token for every stream that decodes  +  a chunk of a prompt

A *reply* has its prompt evaluated (prefill), then decodes one token a step. A *prepare* (a turn while the player still
speaks) and a *warm-up* only have a prompt evaluated, ahead of need. The policy (priority, chunks, starvation, adapters)
is in docs/llm.md, "Scheduling". Nothing here reads a clock or token values: times are seconds of any monotonic clock. A
cancelled stream is absent from the next batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

from mythicd.engines.llm import Focus
from mythicd.errors import BusyError
from mythicd.llm.llamacpp.step_times import StepTimes

Work = Literal["reply", "prepare", "warm-up"]

IDLE_S = 10.0
"""Seconds without a word to or from a character after which its work is less urgent."""
FIRST_WORDS = 12
"""Tokens within which the first phrase of a reply is complete."""
ROWS = 4
"""Tokens that llama.cpp's CPU kernels evaluate together; a remainder takes nearly as long as four. A step of 4, 7, 8
tokens took 49, 87, 91 ms with 143 M parameters in Q4_0 on one slow thread."""
AHEAD_EVERY_S = 0.25
"""Interval of steps for prepares and warm-ups with an adapter that no reply uses."""
_AHEAD: dict[Work, int] = {"reply": 0, "prepare": 1, "warm-up": 2}


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a step and of the number of streams."""

    streams: int = 8
    """Replies at once."""
    waiting: int = 16
    """Replies that may wait for one of those to end; one more is refused at once."""
    burst_tokens: int = 48
    """Tokens ahead of its reader from which a reply goes after others; at twice that it stops. A reply may ask for less
    (`most_ahead`)."""
    slice_tokens: int = 8
    """Of every `burst_tokens` steps in which a reply could run, it runs in at least this many."""
    chunk: int = 256
    """Most prompt tokens in a step."""
    chunk_least: int = 8
    """Fewest prompt tokens of a chunk: below this, reading the weights costs more than the tokens. ROWS for a prepare
    while no reply is written."""
    stretch: float = 6.5
    """Longest step with a prompt, as a multiple of the same step without one: more makes voices stutter, less spends
    the time on reading weights."""
    least_s: float = 0.020
    """Step time that is always allowed, however fast the model."""
    fed_s: float = 0.100
    """Step time that is always allowed while all voices have their first phrase: ten tokens a second. Without it, with
    four replies at 12 ms a step, another one's prompt took longer than necessary (docs/benchmarks.md)."""
    step_s: float = 0.225
    """Longest step while all voices have their first phrase: 4.4 tokens a second, and speech needs 3.7 (`voice_rate`).
    It bounds a step on a slow machine; with 0.200, prompts took longer there (docs/benchmarks.md)."""
    first_s: float = 0.075
    """Longest step while a first phrase is written, or for a warm-up while a reply is written."""
    prepare_s: float = 0.050
    """Longest step for a prepare while no reply is written: its words may change at any moment, and the time spent on
    discarded words is lost."""
    guess_s: float = 0.150
    """Longest step for the prompt of a reply with `ahead_tokens`, while no other is written: it may answer misheard
    words, and the reply to the right ones would wait for the step's end."""
    ahead_s: float = 0.250
    """Longest step for prepares and warm-ups while no reply is written and no microphone is open."""
    alone_s: float = 1.0
    """Longest step while no reply is written: a prompt is evaluated fastest in one piece."""
    voice_rate: float = 5.0
    """Tokens a second that a voice needs (165 words a minute at 1.35 tokens a word are 3.7), with a margin."""

    def most_ahead(self, asked: int = 0) -> int:
        """Return how many tokens ahead of its reader a reply stops that `asked` for so many; 0 asks for the default."""
        return min(asked, 2 * self.burst_tokens) if asked else 2 * self.burst_tokens


@dataclass(frozen=True, slots=True)
class Slice:
    """A stream's part of the next batch."""

    stream: int
    tokens: int
    """How many of its next tokens; 1 for a stream that decodes."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The tokens of the next step."""

    slices: tuple[Slice, ...] = ()
    """Streams that decode come first, then prompts."""
    adapter: str | None = None


@dataclass(slots=True)
class _Stream:
    name: int
    owner: str
    work: Work
    adapter: str | None
    left: int
    """Prompt tokens still to be evaluated; 0 while decoding."""
    served_s: float
    """When it last ran, or arrived."""
    most_ahead: int
    """Tokens ahead of its reader at which it stops; from half of them it goes after others."""
    written: int = 0
    ahead: int = 0
    """Tokens that its reader has not taken."""
    credit: float = 0.0
    """Steps earned and not used."""


class Scheduler:
    """Chooses batches from the streams, the rest of each prompt, and the focus of each character."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._streams: dict[int, _Stream] = {}
        self._focus: dict[str, Focus] = {}
        self._active_s: dict[str, float] = {}
        """When a character last spoke or was spoken to."""
        self._adapters_s: dict[str | None, float] = {}
        """When each adapter was last in a step."""
        self._speaking: set[str] = set()
        """Characters whose reply is being decoded."""
        self.times = StepTimes()

    def __len__(self) -> int:
        return len(self._streams)

    @property
    def writing(self) -> int:
        """Number of streams that decode."""
        return sum(not stream.left for stream in self._streams.values())

    # --- characters --------------------------------------------------------------------------------------------------

    def focus(self, owner: str, focus: Focus, now: float) -> None:
        """Set how much a character matters."""
        if focus.mic or self._focus.get(owner, Focus()).mic:  # it is, or was until now, being spoken to
            self._active_s[owner] = now
        self._focus[owner] = focus

    def forget(self, owner: str) -> None:
        """Remove all that is known of a character."""
        self._focus.pop(owner, None)
        self._active_s.pop(owner, None)

    def priority(self, owner: str, now: float) -> int:
        """Return a character's priority, from -1 to 3."""
        focus = self._focus.get(owner, Focus())
        speaking = owner in self._speaking
        idle = not focus.mic and not speaking and now - self._active_s.get(owner, -inf) > IDLE_S
        return 2 * (focus.on_screen and focus.mic) + speaking - idle

    # --- streams -----------------------------------------------------------------------------------------------------

    def require_room(self, adapter: str | None) -> None:
        """Raise Busy when one more reply would exceed `streams`, or would make all replies slower than speech."""
        replies = [stream for stream in self._streams.values() if stream.work == "reply"]
        if len(replies) >= self._limits.streams:
            raise BusyError(
                f"The language model is writing {len(replies)} replies already.", remedy="Try again when one has ended."
            )
        widths: dict[str | None, int] = {adapter: 1}
        for stream in replies:
            widths[stream.adapter] = widths.get(stream.adapter, 0) + 1
        round_s = sum(self.times.decode_s(width) for width in widths.values())
        if replies and round_s * self._limits.voice_rate > 1:
            raise BusyError(
                f"The language model would write {1 / round_s:.1f} tokens a second for each of {len(replies) + 1}"
                f" replies; speech needs {self._limits.voice_rate:.1f}.",
                remedy="Try again when one has ended, or use a smaller model.",
            )

    def add(
        self,
        stream: int,
        owner: str,
        work: Work,
        prompt_tokens: int,
        now: float,
        *,
        adapter: str | None = None,
        ahead_tokens: int = 0,
    ) -> None:
        """Add a stream with so many prompt tokens to evaluate, at least one.

        `ahead_tokens` is how many tokens ahead of its reader it stops; 0 for the default. Raises ValueError.
        """
        if stream in self._streams or prompt_tokens < 1 or ahead_tokens < 0:
            raise ValueError(f"invalid stream {stream}: {prompt_tokens} prompt tokens, {ahead_tokens} ahead")
        most_ahead = self._limits.most_ahead(ahead_tokens)
        self._streams[stream] = _Stream(stream, owner, work, adapter, prompt_tokens, now, most_ahead)

    def remove(self, stream: int, now: float) -> None:
        """Remove a stream that has ended or was cancelled."""
        gone = self._streams.pop(stream)
        if gone.work == "reply":
            self._active_s[gone.owner] = now
            self._speaking.discard(gone.owner)

    def read(self, stream: int, ahead: int) -> None:
        """Note how many of a stream's tokens its reader has not taken."""
        self._streams[stream].ahead = ahead

    # --- a step ------------------------------------------------------------------------------------------------------

    def next_batch(self, now: float, until: float = inf) -> Batch:
        """Return what to evaluate next; without slices when there is nothing to do.

        `until` is the next deadline of a reply. A step takes at most half of the time left until then: on a shared
        machine a step may take twice as long as expected.
        """
        runnable = [stream for stream in self._streams.values() if self._can_run(stream)]
        if not runnable:
            return Batch()
        adapter = self._next_adapter(runnable, now)
        if not any(stream.left or stream.adapter != adapter for stream in runnable) and self._fits(len(runnable)):
            return Batch(tuple(Slice(stream.name, 1) for stream in runnable), adapter)  # the common case: all decode
        mine = sorted(
            (stream for stream in runnable if stream.adapter == adapter), key=lambda stream: self._rank(stream, now)
        )
        writers = self._writers([stream for stream in mine if not stream.left])
        slices = [Slice(stream.name, 1) for stream in writers]
        most_s = max(self._limits.first_s, (until - now) / 2)
        speaking = [stream for stream in runnable if not stream.left]
        rounds = len({stream.adapter for stream in runnable if stream.left and stream.work == "reply"} | {adapter})
        slices += self._chunk([stream for stream in mine if stream.left], writers, speaking, most_s, rounds)
        return Batch(tuple(slices), adapter)

    def evaluated(self, batch: Batch, seconds: float, now: float) -> None:
        """Note that the batch has been evaluated, and how long it took."""
        writers = prompt_tokens = 0
        served = {part.stream: part.tokens for part in batch.slices}
        earned = self._limits.slice_tokens / self._limits.burst_tokens
        for stream in self._streams.values():
            if stream.work == "reply" and self._can_run(stream):
                stream.credit = min(stream.credit + earned, float(self._limits.slice_tokens))
            if stream.name not in served:
                continue
            stream.served_s, stream.credit = now, max(0.0, stream.credit - 1)
            if stream.left:
                prompt_tokens += served[stream.name]
                stream.left -= served[stream.name]
                if stream.left or stream.work != "reply":
                    continue
                self._speaking.add(stream.owner)  # the end of the prompt gives the first token
            else:
                writers += 1
            stream.written += 1
        self._adapters_s[batch.adapter] = now
        self.times.observe(writers, prompt_tokens, seconds)

    # --- the parts of a step -----------------------------------------------------------------------------------------

    def _next_adapter(self, runnable: Sequence[_Stream], now: float) -> str | None:
        """Return the adapter that has waited longest; one without replies only every AHEAD_EVERY_S."""
        replies = {stream.adapter for stream in runnable if stream.work == "reply"}
        if not replies:
            first = min(self._stage(stream) for stream in runnable)
            runnable = [stream for stream in runnable if self._stage(stream) == first]

        def waited(adapter: str | None) -> tuple[bool, float]:
            last_s = self._adapters_s.get(adapter, -inf)
            return bool(replies) and adapter not in replies and now - last_s < AHEAD_EVERY_S, last_s

        return min((stream.adapter for stream in runnable), key=waited)

    def _can_run(self, stream: _Stream) -> bool:
        return bool(stream.left) or stream.ahead < stream.most_ahead

    def _stage(self, stream: _Stream) -> tuple[int, bool]:
        """Return the rank above priority: replies, then prepares, then warm-ups, of which those in view go first."""
        away = stream.work == "warm-up" and not self._focus.get(stream.owner, Focus()).on_screen
        return _AHEAD[stream.work], away

    def _rank(self, stream: _Stream, now: float) -> tuple[tuple[int, bool], bool, bool, int, float, int]:
        return (
            self._stage(stream),
            stream.credit < 1,
            2 * stream.ahead >= stream.most_ahead,
            -self.priority(stream.owner, now),
            0.0 if stream.left else stream.served_s,  # prompts run one after the other: shared out, all would end late
            stream.name,
        )

    def _writers(self, streams: Sequence[_Stream]) -> Sequence[_Stream]:
        """Return the first of these, as many as a step may have, at least one."""
        width = len(streams)
        while width > 1 and not self._fits(width):
            width -= 1
        return streams[:width]

    def _fits(self, width: int) -> bool:
        return width <= self._limits.streams and (width == 1 or self.times.decode_s(width) <= self._limits.step_s)

    def _chunk(
        self,
        streams: Sequence[_Stream],
        writers: Sequence[_Stream],
        speaking: Sequence[_Stream],
        most_s: float,
        rounds: int,
    ) -> Iterable[Slice]:
        """Yield the prompt slices of a step of at most `most_s` seconds.

        `writers` decode in this step; `speaking` are all that could, with any adapter: they wait for its end. `rounds`
        is how many adapters have a prompt to evaluate, one after the other.
        """
        if any(stream.work == "reply" for stream in streams):  # prepares and warm-ups wait for replies
            streams = [stream for stream in streams if stream.work == "reply"]
        if not streams:
            return
        longest = min(most_s, self._longest(streams[0], writers, speaking, rounds))
        room = self._chunk_size(streams[0], len(writers), longest, exact=not speaking)
        shares = dict.fromkeys((stream.name for stream in streams), 0)
        owed = [stream for stream in streams if stream.credit >= 1]
        others = [stream for stream in streams if stream.credit < 1]
        for some, most in ((owed, self._limits.slice_tokens), (others, room), (owed, room)):
            for stream in some:
                tokens = min(room, most, stream.left - shares[stream.name])
                shares[stream.name] += tokens
                room -= tokens
        for name, tokens in shares.items():
            if tokens:
                yield Slice(name, tokens)

    def _longest(self, stream: _Stream, writers: Sequence[_Stream], speaking: Sequence[_Stream], rounds: int) -> float:
        """Return the longest step, in seconds, in which this stream's prompt is the first."""
        limits, work, short = self._limits, stream.work, self._limits.least_s
        if work == "prepare" and not speaking:
            return limits.prepare_s
        if work == "reply" and not speaking:
            return limits.guess_s if stream.most_ahead < limits.most_ahead() else limits.alone_s
        if work == "warm-up" and not speaking and not any(focus.mic for focus in self._focus.values()):
            return limits.ahead_s
        longest = limits.first_s
        if work == "reply" and all(other.written >= FIRST_WORDS for other in speaking):
            longest, short = limits.step_s, limits.fed_s
        if not speaking:
            return longest
        return min(longest, max(short, limits.stretch * self.times.decode_s(len(writers or speaking)))) / rounds

    def _chunk_size(self, stream: _Stream, writers: int, longest: float, *, exact: bool) -> int:
        """Return how many prompt tokens fit in a step of that length; `exact` when no voice waits for it."""
        limits = self._limits
        least = min(limits.chunk_least, ROWS) if stream.work == "prepare" and exact else limits.chunk_least
        size = self.times.tokens_within(writers, longest)
        if size is None:  # before the first measurement: short on any machine, and enough to measure
            size = 2 * limits.chunk_least
        if size > ROWS:
            size -= (size + writers) % ROWS
        return max(least, min(size, limits.chunk))
