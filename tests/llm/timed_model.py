"""A scheduler with a simulated model: time is an argument, and steps take as long as they are told to."""

from __future__ import annotations

from collections import Counter
from math import inf

from mythicd.llm.llamacpp.scheduler import FIRST_WORDS, Limits, Scheduler, Work

LIMITS = Limits(streams=4, chunk=32, chunk_least=4, slice_tokens=4, burst_tokens=16)
MS = 0.001


class Model:
    """A scheduler with a model that takes `decode` for each width and `token` for each prompt token, in seconds."""

    def __init__(self, limits: Limits = LIMITS, *, decode: float = 10 * MS, more: float = 2 * MS, token: float = MS):
        self.scheduler = Scheduler(limits)
        self.now = 100.0
        self.written: Counter[int] = Counter()
        self.slower = 1.0
        """How many times as long as it should everything takes."""
        self._cost = decode, more, token
        self._left: dict[int, int] = {}

    def add(
        self, stream: int, prompt: int = 1, work: Work = "reply", adapter: str | None = None, ahead_tokens: int = 0
    ) -> None:
        self.scheduler.add(stream, f"npc{stream}", work, prompt, self.now, adapter=adapter, ahead_tokens=ahead_tokens)
        self._left[stream] = prompt

    def remove(self, stream: int) -> None:
        self.scheduler.remove(stream, self.now)
        del self._left[stream]

    def step(self, until: float = inf) -> dict[int, int]:
        batch = self.scheduler.next_batch(self.now, until)
        decode, more, token = self._cost
        writers = sum(not self._left[part.stream] for part in batch.slices)
        prompt = sum(part.tokens for part in batch.slices if self._left[part.stream])
        took = ((decode + more * (writers - 1)) * (writers > 0) + prompt * token) * self.slower
        self.now += took
        self.scheduler.evaluated(batch, took, self.now)
        for part in batch.slices:
            if self._left[part.stream]:
                self._left[part.stream] -= part.tokens
            if not self._left[part.stream]:
                self.written[part.stream] += 1
        return {part.stream: part.tokens for part in batch.slices}

    def speak(self, *streams: int) -> None:
        """Have these streams past their first phrase, and the cost of steps known."""
        for stream in streams:
            self.add(stream, 16)
        while min((self.written[stream] for stream in streams), default=99) <= FIRST_WORDS:
            self.step()
