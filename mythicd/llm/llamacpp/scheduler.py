"""Who runs next: the policy that makes each step's batch.

One step of the model evaluates one batch, and a batch may mix tokens of many streams. A *reply* first has its prompt
evaluated (prefill), then writes one token a step (decode). What is done *ahead* of need, a turn being prepared while
the player speaks or a character being warmed up, only has a prompt evaluated.

    each step  =  one token for every stream that writes  +  a chunk of somebody's prompt

So a newcomer's long prompt never stops those who speak: it is taken in chunks beside them, each as large as a step may
be long, by what steps have cost so far (step_times.py). A step may be `stretch` times as long as it would be without
prompts, within bounds: while somebody's first words are being written it is short, since they are waited for; later it
may be as long as voices stay fed, and is no shorter than makes no difference to them; with nobody writing it is long.

**Who goes first** is the priority of the character (`priority`): +2 when the player sees it and speaks to it, +1 when
it is speaking, -1 when nothing has happened to it for ten seconds. Higher goes first; among equals the oldest prompt,
and the writer that has waited longest. It matters where not all can be served: for the chunk, and for writing when a
step of all would be too long. Before that, a warm-up of who is in view goes before any of who is not.

**Nobody starves**: a reply that could run earns `slice_tokens / burst_tokens` of a turn with each step and pays one
when it does; a whole turn saved up is served before any priority. A turn is one token of a reply, or `slice_tokens` of
a prompt.

**Who is ahead of its voice yields**: a stream with `burst_tokens` written that its reader has not taken goes behind the
others, and one with twice as many stops until the reader has caught up; where less was asked for, so many and half of
it. What is done ahead gets what no reply wants.

**Adapters**: a batch carries one set of LoRA weights, so steps rotate among the adapters of those who run, the one that
has waited longest first. Whoever speaks waits for the others' steps, too: they are no longer than if it were in them,
and where several adapters have prompts, they share that time.

Nothing here reads a clock or knows tokens' values: times come in as seconds of any monotonic clock. A cancelled stream
is simply not in the next batch.
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
"""After this long without a word to or from it, a character's work is less urgent."""
FIRST_WORDS = 12
"""Tokens within which a voice has its first phrase."""
ROWS = 4
"""Tokens that llama.cpp's CPU kernels evaluate together; what is left over takes nearly as long as four. A step of 4,
7, 8 tokens took 49, 87, 91 ms with 143 M parameters in Q4_0 on one slow thread."""
AHEAD_EVERY_S = 0.25
"""How often there is a step for what is done ahead with an adapter that nobody writes with."""
_AHEAD: dict[Work, int] = {"reply": 0, "prepare": 1, "warm-up": 2}


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds a step, and who may take part."""

    streams: int = 8
    """Replies at once."""
    waiting: int = 16
    """Replies that may wait for one of those to end; one more is refused at once."""
    burst_tokens: int = 48
    """Most tokens a reply may be ahead of its reader before others go first; at twice that it stops. A reply may ask
    for less (`most_ahead`)."""
    slice_tokens: int = 8
    """Of every `burst_tokens` steps that a reply could have run in, it does so in at least this many."""
    chunk: int = 256
    """Most prompt tokens in a step."""
    chunk_least: int = 8
    """Fewest, where there is a prompt to evaluate: below this, reading the weights costs more than the tokens; but ROWS
    for a turn that is prepared while nobody writes."""
    stretch: float = 6.5
    """How many times as long a step may take as it would without prompts: more makes those who write stutter, less
    spends the time on reading weights."""
    least_s: float = 0.020
    """A step that may be this long is short enough for everybody, however fast the model."""
    fed_s: float = 0.100
    """A step that may be this long is short enough for those who write while voices are fed, however fast the model:
    ten tokens a second. Without it, where four write at 12 ms a step, a newcomer's prompt took longer than it has to
    (docs/benchmarks.md)."""
    step_s: float = 0.225
    """Longest step while voices are fed: 4.4 tokens a second, and speech needs 3.7 (`voice_rate`). It is what bounds a
    step on a slow machine, and with 0.200 a newcomer's prompt took longer there (docs/benchmarks.md)."""
    first_s: float = 0.075
    """Longest step while somebody's first phrase is written, or a character is warmed up while somebody speaks."""
    prepare_s: float = 0.050
    """Longest step for a turn that is prepared while nobody writes: its words may become others, or end, at any moment,
    and what is read to words that are no more is lost."""
    guess_s: float = 0.150
    """Longest step for the prompt of a reply that asked to stop soon, while nobody writes: it may be one to words that
    were misheard, and the reply to the right ones would wait for the step's end."""
    ahead_s: float = 0.250
    """Longest step for what is done ahead of need while nobody writes and nobody is spoken to."""
    alone_s: float = 1.0
    """Longest step while nobody writes: then a prompt in one piece is soonest done."""
    voice_rate: float = 5.0
    """Tokens a second that a voice needs (165 words a minute at 1.35 tokens a word are 3.7), with a margin."""

    def most_ahead(self, asked: int = 0) -> int:
        """Return at how many tokens ahead of its reader a reply stops that asked for so many; 0 asks for nothing."""
        return min(asked, 2 * self.burst_tokens) if asked else 2 * self.burst_tokens


@dataclass(frozen=True, slots=True)
class Slice:
    """A stream's part of the next batch."""

    stream: int
    tokens: int
    """How many of its next tokens; 1 for a stream that writes."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What the next step evaluates."""

    slices: tuple[Slice, ...] = ()
    """Those that write first, then prompts."""
    adapter: str | None = None


@dataclass(slots=True)
class _Stream:
    name: int
    owner: str
    work: Work
    adapter: str | None
    left: int
    """Prompt tokens still to be evaluated; 0 while writing."""
    served_s: float
    """When it last ran, or arrived."""
    most_ahead: int
    """Tokens ahead of its reader at which it stops; at half of them it goes behind the others."""
    written: int = 0
    ahead: int = 0
    """Tokens its reader has not taken."""
    credit: float = 0.0
    """Turns earned and not had."""


class Scheduler:
    """Knows the streams, what is left of each prompt, and how much each character matters."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._streams: dict[int, _Stream] = {}
        self._focus: dict[str, Focus] = {}
        self._active_s: dict[str, float] = {}
        """When a character last spoke or was spoken to."""
        self._adapters_s: dict[str | None, float] = {}
        """When each adapter was last in a step."""
        self._speaking: set[str] = set()
        """Whose reply is being written."""
        self.times = StepTimes()

    def __len__(self) -> int:
        return len(self._streams)

    @property
    def writing(self) -> int:
        """Streams that write."""
        return sum(not stream.left for stream in self._streams.values())

    # --- who is who --------------------------------------------------------------------------------------------------

    def focus(self, owner: str, focus: Focus, now: float) -> None:
        """Take note of how much a character matters."""
        if focus.mic or self._focus.get(owner, Focus()).mic:  # it is being spoken to, or was until now
            self._active_s[owner] = now
        self._focus[owner] = focus

    def forget(self, owner: str) -> None:
        """This character is gone."""
        self._focus.pop(owner, None)
        self._active_s.pop(owner, None)

    def priority(self, owner: str, now: float) -> int:
        """Return how urgent a character's work is, from -1 to 3."""
        focus = self._focus.get(owner, Focus())
        speaking = owner in self._speaking
        idle = not focus.mic and not speaking and now - self._active_s.get(owner, -inf) > IDLE_S
        return 2 * (focus.on_screen and focus.mic) + speaking - idle

    # --- coming and going --------------------------------------------------------------------------------------------

    def require_room(self, adapter: str | None) -> None:
        """Raise Busy where one more reply would be too many, or would leave voices without words."""
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
                f" voices, which need {self._limits.voice_rate:.1f}.",
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
        """Take in a stream of which so many prompt tokens are to be evaluated, at least one.

        `ahead_tokens` is how far ahead of its reader it asked to stop; 0 for the limit of all.
        """
        if stream in self._streams or prompt_tokens < 1 or ahead_tokens < 0:
            raise ValueError(f"stream {stream} with {prompt_tokens} tokens, {ahead_tokens} ahead")
        most_ahead = self._limits.most_ahead(ahead_tokens)
        self._streams[stream] = _Stream(stream, owner, work, adapter, prompt_tokens, now, most_ahead)

    def remove(self, stream: int, now: float) -> None:
        """The stream has ended or was cancelled."""
        gone = self._streams.pop(stream)
        if gone.work == "reply":
            self._active_s[gone.owner] = now
            self._speaking.discard(gone.owner)

    def read(self, stream: int, ahead: int) -> None:
        """Take note of how many of a stream's tokens its reader has not taken."""
        self._streams[stream].ahead = ahead

    # --- a step ------------------------------------------------------------------------------------------------------

    def next_batch(self, now: float, until: float = inf) -> Batch:
        """Return what to evaluate next; without slices when there is nothing to do.

        `until` is when somebody's time is over. A step takes at most half of what is left until then: one that was to
        last to the very end, and took twice as long on a machine that others use, had somebody wait a second more.
        """
        runnable = [stream for stream in self._streams.values() if self._can_run(stream)]
        if not runnable:
            return Batch()
        adapter = self._next_adapter(runnable, now)
        if not any(stream.left or stream.adapter != adapter for stream in runnable) and self._fits(len(runnable)):
            return Batch(tuple(Slice(stream.name, 1) for stream in runnable), adapter)  # as in most steps: all write
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
        """The batch has been evaluated, and took this long."""
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
                self._speaking.add(stream.owner)  # the prompt's end gives the first token
            else:
                writers += 1
            stream.written += 1
        self._adapters_s[batch.adapter] = now
        self.times.observe(writers, prompt_tokens, seconds)

    # --- the parts of a step -----------------------------------------------------------------------------------------

    def _next_adapter(self, runnable: Sequence[_Stream], now: float) -> str | None:
        """Return the adapter that has waited longest; one with nothing to do but what is ahead, only now and then."""
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
        """Return what goes before any priority: replies, then turns that are being said, then warm-ups. Who has come
        into view may be spoken to at any moment; who has left it is tidied up after."""
        away = stream.work == "warm-up" and not self._focus.get(stream.owner, Focus()).on_screen
        return _AHEAD[stream.work], away

    def _rank(self, stream: _Stream, now: float) -> tuple[tuple[int, bool], bool, bool, int, float, int]:
        return (
            self._stage(stream),
            stream.credit < 1,
            2 * stream.ahead >= stream.most_ahead,
            -self.priority(stream.owner, now),
            0.0 if stream.left else stream.served_s,  # prompts one after the other: shared out, all would end late
            stream.name,
        )

    def _writers(self, streams: Sequence[_Stream]) -> Sequence[_Stream]:
        """Return the first of these, as many as a step may have: one at least."""
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
        """Share out the prompt tokens of a step, which is to take `most_s` seconds at most.

        `writers` write in this step; `speaking` are all that could, whatever their adapter: they wait for its end.
        `rounds` adapters in turn have a prompt to evaluate before it is the first one's turn again.
        """
        if any(stream.work == "reply" for stream in streams):  # then what is done ahead waits
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
        """Return how many seconds a step may take in which this stream's prompt is the first to be evaluated."""
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
        """Return how many prompt tokens fit in a step of that length; `exact` where nobody who speaks waits for it."""
        limits = self._limits
        least = min(limits.chunk_least, ROWS) if stream.work == "prepare" and exact else limits.chunk_least
        size = self.times.tokens_within(writers, longest)
        if size is None:  # nothing was measured yet: a size that is bearable anywhere, and tells
            size = 2 * limits.chunk_least
        if size > ROWS:
            size -= (size + writers) % ROWS
        return max(least, min(size, limits.chunk))
