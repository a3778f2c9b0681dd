"""An actor of the soak: a character and its player, with random turns, interruptions and absences."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace

from bench.llm.prompts import Script
from bench.llm.voice_simulator import Voice
from mythicd.engines.llm import ChatMessage, Focus, LlmRequest, PrefillDone, Prompt, Sampling, TextDelta
from mythicd.errors import BusyError
from mythicd.llm.llamacpp.engine import LlamaLlm

MOST_EXCHANGES = 8
"""Longest history, in messages; then the older half is dropped, as in a summary."""
SILENCE_S = 0.3
"""Mean pause between two actions, in seconds: so short that the model cannot keep up with all."""
PATIENCE_S = (0.5, 8.0)
"""Range of the patience of a request, in seconds."""


@dataclass(slots=True)
class Ledger:
    """The observations of all actors."""

    ttfts: list[float] = field(default_factory=list)
    """Seconds to the first token of each reply since the last sample."""
    replies: int = 0
    refused: int = 0
    turns: dict[str, int] = field(default_factory=dict)
    """Replies started by each character, since the beginning."""
    longest: float = 0.0
    """Longest wait for a first token or a refusal, in seconds."""
    failed: int = 0
    """Replies that ended with an error other than Busy, as the engine counts them."""
    latest: float = 0.0
    """Longest time past its patience at which a first token or a refusal came, in seconds."""
    latest_text: float = 0.0
    """The same for a first word, in seconds: a token may add no text."""

    def begin(self) -> None:
        """Start a new sample."""
        self.ttfts.clear()
        self.replies = self.refused = 0

    def answered(self, waited: float, patience: float) -> None:
        """Record a first token or a refusal."""
        self.longest = max(self.longest, waited)
        self.latest = max(self.latest, waited - patience)


class Pause:
    """A pause of all actors: what has started goes on to its end, and nothing new starts."""

    def __init__(self) -> None:
        self._may_begin, self._all_quiet = asyncio.Event(), asyncio.Event()
        self._may_begin.set()
        self._all_quiet.set()
        self._acting = 0

    async def __aenter__(self) -> None:
        """Wait until no actor is active."""
        self._may_begin.clear()
        await self._all_quiet.wait()

    async def __aexit__(self, *_: object) -> None:
        """End the pause."""
        self._may_begin.set()

    @asynccontextmanager
    async def acting(self) -> AsyncIterator[None]:
        """Act as soon as there is no pause."""
        while not self._may_begin.is_set():  # the next pause may have started before this task runs
            await self._may_begin.wait()
        self._acting += 1
        self._all_quiet.clear()
        try:
            yield
        finally:
            self._acting -= 1
            if not self._acting:
                self._all_quiet.set()


class Actor:
    """One character: turns, pauses, interruptions, absences."""

    def __init__(
        self,
        npc: str,
        engine: LlamaLlm,
        script: Script,
        adapters: list[str],
        ledger: Ledger,
        pause: Pause,
        chance: random.Random,
    ) -> None:
        self._npc, self._engine, self._script, self._ledger, self._pause = npc, engine, script, ledger, pause
        self._adapters, self._chance = [None, *adapters], chance
        self._history: list[ChatMessage] = []
        self._adapter: str | None = chance.choice(self._adapters)
        self._said = 0

    async def live(self) -> None:
        """Act until cancelled."""
        while True:
            await asyncio.sleep(self._chance.expovariate(1 / SILENCE_S))
            async with self._pause.acting():
                await self._act(self._chance.random())

    async def _act(self, roll: float) -> None:
        if roll < 0.75:
            await self._turn()
        elif roll < 0.90:
            await self._go_away_and_come_back()
        elif roll < 0.95:
            await self._engine.forget(self._npc)
            await self._engine.attend(self._npc, self._front())
        else:
            self._adapter = self._chance.choice(self._adapters)
            await self._engine.attend(self._npc, self._front())

    async def _turn(self) -> None:
        """Play a turn: the player speaks and may change the words; the character replies and may be interrupted."""
        self._engine.focus(self._npc, Focus(on_screen=True, mic=True))
        self._said += 1
        words = self._script.text(f"{self._npc} question {self._said}", self._chance.randint(4, 30)).split(" ")
        block = self._script.text(f"{self._npc} lore {self._said}", self._chance.randint(20, 120))
        if self._chance.random() < 0.6:
            for share in sorted(self._chance.random() for _ in range(self._chance.randint(1, 3))):
                hurry = asyncio.timeout(self._chance.uniform(0.05, 1.0))
                try:
                    async with hurry:
                        await self._engine.prepare(self._npc, self._asked(block, words[: int(share * len(words))]))
                except TimeoutError:
                    pass
            if self._chance.random() < 0.15:  # a rolled-back prefill
                await self._engine.rollback(self._npc)
                self._engine.focus(self._npc, Focus())
                return
            if self._chance.random() < 0.2:  # the recogniser has corrected the first words
                words[0] = words[-1]
        self._engine.focus(self._npc, Focus())
        await self._reply(self._asked(block, words), " ".join(words))

    async def _reply(self, prompt: Prompt, words: str) -> None:
        chance, voice, text = self._chance, Voice(), ""
        cut = chance.expovariate(1 / 3) if chance.random() < 0.3 else None  # seconds after which the player interrupts
        sampling = Sampling(temperature=0.8, max_tokens=chance.randint(5, 60), seed=chance.randrange(2**31))
        request = LlmRequest(self._npc, f"t{self._said}", prompt, (), sampling, patience_s=chance.uniform(*PATIENCE_S))
        begun = time.monotonic()
        try:
            async with asyncio.timeout(cut), aclosing(self._engine.generate(request)) as events:
                async for event in events:
                    now = time.monotonic()
                    if isinstance(event, PrefillDone):  # comes with the first token, for which the patience is
                        self._ledger.answered(now - begun, request.patience_s)
                        self._ledger.ttfts.append(now - begun)
                        self._ledger.turns[self._npc] = self._ledger.turns.get(self._npc, 0) + 1
                    if not isinstance(event, TextDelta):
                        continue
                    if not text:
                        late = now - begun - request.patience_s
                        self._ledger.latest_text = max(self._ledger.latest_text, late)
                    text += event.text
                    voice.add(len(event.text), now)
                    await asyncio.sleep(voice.too_far_ahead(120, now))
            self._ledger.replies += 1
        except TimeoutError:
            pass
        except BusyError:
            self._ledger.refused += 1
            self._ledger.answered(time.monotonic() - begun, request.patience_s)
        if text:
            self._history += [ChatMessage("user", words), ChatMessage("assistant", text.strip())]
            if len(self._history) > 2 * MOST_EXCHANGES:
                del self._history[: MOST_EXCHANGES // 2 * 2]
            await self._engine.attend(self._npc, self._front())
        else:
            await self._engine.rollback(self._npc)

    async def _go_away_and_come_back(self) -> None:
        self._engine.focus(self._npc, Focus(on_screen=False))
        await self._engine.park(self._npc)
        await asyncio.sleep(self._chance.expovariate(0.5))
        self._engine.focus(self._npc, Focus())
        await self._engine.attend(self._npc, self._front())

    def _front(self) -> Prompt:
        front = self._script.front(self._npc, 0)
        return Prompt(front.world, front.character, tuple(self._history), (), self._adapter)

    def _asked(self, block: str, words: list[str]) -> Prompt:
        return replace(self._front(), turn=(ChatMessage("user", f"{block}\n{' '.join(words)}"),))
