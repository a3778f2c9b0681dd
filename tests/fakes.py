"""Fake engines and a fake store, scripted by durations: each implements the real Protocol and runs on the loop's clock.

Microphone audio is voiced where its samples are not zero. The voice speaks a word in 0.31 s of audio, and synthesises
it in a tenth of that.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mythicd.audio.pcm import MIC_RATE
from mythicd.config.settings import RagSettings
from mythicd.config.world_files import World
from mythicd.engines.asr import Recognition, Vocabulary
from mythicd.engines.embedder import Embedder
from mythicd.engines.llm import (
    Finished,
    Focus,
    InlineCall,
    LlmAbilities,
    LlmEvent,
    LlmRequest,
    PrefillDone,
    Prompt,
    Reading,
    TextDelta,
)
from mythicd.engines.tts import PhonemeOnset, VoiceChunk, VoiceSpec, WordOnset
from mythicd.engines.vad import VAD_FRAME
from mythicd.errors import EngineError, StoreError
from mythicd.memory.query import Query
from mythicd.memory.ranking import ScoredLine
from mythicd.memory.records import Heard, Scope, SyncCounts, ToolRecord, Utterance
from mythicd.telemetry.counters import LlmCounters

VOICE_RATE = 8000
WORD_S = 0.31
"""Seconds of audio in a word."""


def now() -> float:
    """Return the time of the running loop."""
    return asyncio.get_running_loop().time()


class FakeVad:
    """A voice detector: a frame with a sample that is not zero is voiced."""

    fails = False

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def open(self) -> FakeVad:
        return self

    def push(self, pcm: bytes) -> list[float]:
        if self.fails:
            raise EngineError("The detector failed.")
        return [1.0 if any(pcm[at : at + 2 * VAD_FRAME]) else 0.0 for at in range(0, len(pcm), 2 * VAD_FRAME)]


class FakeAsr:
    """A recogniser: it understands `hears` whatever is said, one word for each 0.25 s of voice."""

    agreement_s: float = 0.4
    has_reliable_partials = False

    def __init__(self) -> None:
        self.hears = "when do you open"
        self.hears_at_last: str | None = None
        """The final words, if they differ from `hears`."""
        self.by_voice = False
        """Whether final words, too, are one for each 0.25 s of voice. Each utterance then goes on in `hears` where the
        last one ended."""
        self.had = 0
        """Words of `hears` that earlier utterances had."""
        self.confidence = 0.9
        self.finish_s = 0.05
        self.finished = 0
        """How often it has recognised final words, for a guess or at the end."""
        self.corrections: dict[str, str] = {}
        """Words of the partials, and what the final words have instead."""
        self.fails: str = ""
        """The call that fails: `open`, `push` or `finish`."""
        self.hangs = False
        self.opened = 0
        self.learnt: list[Vocabulary] = []

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def learn(self, vocabulary: Vocabulary) -> None:
        self.learnt.append(vocabulary)

    async def open(self) -> FakeAsrStream:
        if self.fails == "open":
            raise EngineError("The recogniser failed to open.")
        self.opened += 1
        return FakeAsrStream(self)


class FakeAsrStream:
    """A recognition of one utterance."""

    def __init__(self, asr: FakeAsr) -> None:
        self._asr = asr
        self._voiced = 0
        self._guessed: asyncio.Future[Recognition] | None = None

    async def push(self, pcm: bytes) -> str:
        if self._asr.fails == "push":
            raise EngineError("The recogniser failed.")
        self._voiced += len(pcm) // 2 - pcm[::2].count(0)
        self._guessed = None
        return self._words()

    def _words(self) -> str:
        first = self._asr.had if self._asr.by_voice else 0
        return " ".join(self._asr.hears.split()[first : first + self._count()])

    def _count(self) -> int:
        return int(self._voiced / MIC_RATE / 0.25 + 1e-6)

    async def guess(self) -> Recognition:
        self._guessed = asyncio.ensure_future(self._recognise(self._asr.hears))
        # Mark the exception as retrieved: the caller may have been cancelled.
        self._guessed.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(self._guessed)

    async def finish(self) -> Recognition:
        at_last = self._asr.hears_at_last
        if self._guessed is not None and at_last is None:
            final = await self._guessed
        else:
            final = await self._recognise(self._asr.hears if at_last is None else at_last)
        self._asr.had += self._count()
        return final

    async def _recognise(self, words: str) -> Recognition:
        self._asr.finished += 1
        await asyncio.sleep(3600 if self._asr.hangs else self._asr.finish_s)
        if self._asr.fails == "finish":
            raise EngineError("The recogniser failed at the end.")
        if not self._voiced:
            return Recognition("", 0.0)
        for partial, final in self._asr.corrections.items():
            words = words.replace(partial, final)
        return Recognition(self._words() if self._asr.by_voice else words, self._asr.confidence)

    async def abandon(self) -> None:
        self._asr.had += self._count()
        if self._asr.fails:
            raise EngineError("The recogniser is gone.")


Step = str | float | InlineCall | Exception
"""A step of a script: write text, wait some seconds, call a tool, or fail."""


class FakeLlm:
    """A language model: it writes one script for each request, and the last one for all further requests.

    Like the real one it keeps each character's last prompt, and evaluates words that are new at `rate` words a second.
    A screenplay fails when there are `faults`.
    """

    abilities = LlmAbilities(prepares=True, places_calls=True, adapters=True)

    def __init__(self) -> None:
        self.scripts: list[list[Step]] = [["We open at noon, friend. ", 0.1, "Come in then."]]
        self.to: dict[str, list[Step]] = {}
        """Scripts for prompts that end with these words, before `scripts`."""
        self.answers: Callable[[str], list[Step]] | None = None
        """Makes the script of a turn's message, instead of `scripts`."""
        self.written = 0
        """Words written, for all characters."""
        self.counters = LlmCounters()
        self.prefill_s = 0.1
        """Seconds before the first token, besides those for new words of the prompt."""
        self.close_s = 0.0
        """Seconds that it takes to stop a reply."""
        self.rate = 2000.0
        self.requests: list[LlmRequest] = []
        self.evaluated: list[int] = []
        """Words that were new in the prompt of each request."""
        self.attended: list[Prompt] = []
        self.prepared: list[Prompt] = []
        self.asked: list[tuple[float, str, str]] = []
        """All calls: time, method, character."""
        self.faults: list[str] = []
        """Calls that are not allowed."""
        self.focused: list[Focus] = []
        self.closed: list[tuple[float, bool]] = []
        """When each reply was closed, and whether it was complete."""
        self.held: dict[str, list[str]] = {}
        """The evaluated words of each character."""
        self._writing: set[str] = set()
        self._ahead: dict[str, object] = {}
        """The current prefill of each character, which a later call replaces."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def attend(self, npc_id: str, prompt: Prompt) -> None:
        self._note("attend", npc_id)
        await self._read_ahead(npc_id, prompt)
        self.attended.append(prompt)

    async def prepare(self, npc_id: str, prompt: Prompt, reading: Reading | None = None) -> None:
        self._note("prepare", npc_id)
        self.prepared.append(prompt)
        await self._read_ahead(npc_id, prompt, reading or Reading())

    async def rollback(self, npc_id: str) -> None:
        self._note("rollback", npc_id)
        await asyncio.sleep(0.001)

    async def park(self, npc_id: str) -> None:
        self._note("park", npc_id)
        await asyncio.sleep(0.001)

    async def forget(self, npc_id: str) -> None:
        self._note("forget", npc_id)
        self.held.pop(npc_id, None)

    def focus(self, npc_id: str, focus: Focus) -> None:
        self.focused.append(focus)

    def done_for(self, npc_id: str) -> list[str]:
        """Return the calls for this character, in order."""
        return [what for _, what, whose in self.asked if whose.split()[0] == npc_id]

    def _note(self, what: str, npc_id: str) -> None:
        if npc_id in self._writing:
            self.faults.append(f"{what} while {npc_id} writes")
        self.asked.append((now(), what, npc_id))

    async def _read_ahead(self, npc_id: str, prompt: Prompt, reading: Reading | None = None) -> None:
        mine = self._ahead[npc_id] = object()
        words = _words(prompt)
        held = self.held[npc_id] = _common(self.held.get(npc_id, []), words)
        lines = prompt.turn[-1].content.split("\n") if prompt.turn else []
        for word in (None, *words[len(held) :]):
            if word is not None:
                await asyncio.sleep(1 / self.rate)
                if self._ahead.get(npc_id) is not mine:
                    return
                held.append(word)
            if reading is not None:
                unread = len(words) - len(held)
                ends = [len(" ".join(lines[number:]).split()) for number in range(1, len(lines))]
                reading.lines = sum(unread <= end for end in ends)

    async def generate(self, request: LlmRequest) -> AsyncGenerator[LlmEvent, None]:
        npc_id = request.npc_id
        script = self.scripts[min(len(self.requests), len(self.scripts) - 1)]
        for words, answer in self.to.items():
            script = answer if request.prompt.turn[0].content.endswith(words) else script
        script = script if self.answers is None else self.answers(request.prompt.turn[0].content)
        self._note("generate", npc_id)
        self.requests.append(request)
        self._writing.add(npc_id)
        self._ahead.pop(npc_id, None)
        whole = False
        try:
            prompt = _words(request.prompt)
            new = len(prompt) - len(_common(self.held.get(npc_id, []), prompt))
            self.evaluated.append(new)
            self.held[npc_id] = prompt
            await asyncio.sleep(self.prefill_s + new / self.rate)
            yield PrefillDone(new)
            for step in script:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, float):
                    await asyncio.sleep(step)
                elif isinstance(step, str):
                    for piece in re.findall(r"\S+\s*", step):
                        await asyncio.sleep(0.01)
                        self.written += 1
                        yield TextDelta(piece)
                else:
                    yield step
            whole = True
            yield Finished("stop", len(prompt), new, 10)
        finally:
            closing = asyncio.ensure_future(asyncio.sleep(0.0 if whole else self.close_s))
            while not closing.done():  # wait also when cancelled a second time
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.shield(closing)
            self._writing.discard(npc_id)
            self.closed.append((now(), whole))


def _words(prompt: Prompt) -> list[str]:
    messages = [*prompt.history, *prompt.turn]
    return " ".join([prompt.world, prompt.character, *(f"<{each.role}> {each.content}" for each in messages)]).split()


def _common(first: list[str], second: list[str]) -> list[str]:
    count = 0
    while count < min(len(first), len(second)) and first[count] == second[count]:
        count += 1
    return second[:count]


class FakeTts:
    """A voice: each word is `WORD_S` of audio."""

    sample_rate = VOICE_RATE

    def __init__(self) -> None:
        self.begun: list[tuple[float, str]] = []
        self.leads_s: list[float] = []
        """Sound left when each began."""
        self.fails_at: str | None = None
        """The word at which it fails."""
        self.closed = 0

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def language(self, voice: VoiceSpec) -> str:
        return "en"

    async def prepare(self, voice: VoiceSpec) -> None: ...

    async def speak(
        self, text: str, voice: VoiceSpec, lead_s: Callable[[], float] | None = None
    ) -> AsyncGenerator[VoiceChunk, None]:
        self.begun.append((now(), text))
        self.leads_s.append(0.0 if lead_s is None else lead_s())
        samples = int(WORD_S * VOICE_RATE)
        try:
            for number, word in enumerate(re.finditer(r"\S+", text)):
                await asyncio.sleep(WORD_S / 10)
                if self.fails_at is not None and self.fails_at in word[0]:
                    raise EngineError("The voice broke.")
                at = number * samples
                yield VoiceChunk(
                    b"\x00\x20" * samples,
                    (PhonemeOnset(at, "am"[number % 2]),),
                    (WordOnset(at, word.start(), word.end()),),
                )
        finally:
            self.closed += 1


class FakeEmbedder:
    """An embedder that takes 10 ms per text."""

    name = "fake"
    dimensions = 384

    def __init__(self) -> None:
        self.embedded: list[str] = []

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        await asyncio.sleep(0.01 * len(texts))
        self.embedded += texts
        return np.eye(384, dtype=np.float32)[[len(text) % 384 for text in texts]]


class FakeStore:
    """A memory store: utterances and tool calls in lists."""

    def __init__(self) -> None:
        self.utterances: list[Utterance] = []
        self.tools: list[ToolRecord] = []
        self.lore: dict[str, str] = {}
        """Lines of lore, each under the word that finds it."""
        self.fails = False
        self.slow_s = 0.002

    async def _think(self) -> None:
        await asyncio.sleep(self.slow_s)
        if self.fails:
            raise StoreError("The disk is gone.", remedy="Plug it in.")

    async def sync_lore(
        self, scope: Scope, world: World, rag: RagSettings, embedder: Embedder | None = None
    ) -> SyncCounts:
        await self._think()
        return SyncCounts(0, 0, 0, 0, 0)

    async def search_lore(
        self, scope: Scope, zones: Sequence[str], query: Query, vector: Any, rag: RagSettings
    ) -> list[ScoredLine]:
        await self._think()
        found = [line for word, line in self.lore.items() if word in query.text.split()]
        return [ScoredLine(number, line, line, 1.0, 1.0) for number, line in enumerate(found)]

    async def search_utterances(
        self,
        scope: Scope,
        npc_id: str,
        query: Query,
        vector: Any,
        rag: RagSettings,
        *,
        now: float,
        names: Mapping[str, str] | None = None,
        skip_turns: Collection[str] = (),
    ) -> list[ScoredLine]:
        await self._think()
        return []

    async def recent_utterances(self, scope: Scope, npc_id: str, limit: int) -> list[Heard]:
        await self._think()
        heard = [said for said in self.utterances if said.npc_id == npc_id and said.heard_text]
        return [
            Heard(number, said.turn_id, said.speaker, said.heard_text or "", said.started_at, "", "", 0.5)
            for number, said in enumerate(heard[-limit:])
        ]

    async def record_utterance(self, scope: Scope, utterance: Utterance) -> int:
        await self._think()
        self.utterances.append(utterance)
        return len(self.utterances)

    async def record_tool(self, scope: Scope, call: ToolRecord) -> None:
        await self._think()
        self.tools.append(call)

    async def embed_heard(self, embedder: Embedder, limit: int = 8) -> int:
        await self._think()
        return 0

    def said_by(self, npc_id: str) -> list[Utterance]:
        return [said for said in self.utterances if said.speaker.id == npc_id]
