"""The floor of a turn: the engines alone, one after the other.

    floor = max(hangover, recogniser's finish + embedding + rest of the prefill + tokens of a clause + first chunk)

The prompt is prefilled up to the last two words, which no recogniser can be sure of before the last sample, and without
lore that only the last word calls for. The floor with lore told knows that lore in advance. Searching memory is in
neither. The hangover is the silence for which an open microphone waits; a released key needs none.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.turn.audio_marks import LEAD_S, Speech
from mythicd.character.environment import CharacterContext
from mythicd.character.routing import Routes
from mythicd.character.speak.tool_dispatch import ToolDispatch
from mythicd.character.think.context import ContextBuilder
from mythicd.character.think.model_session import ModelSession
from mythicd.config.settings import load_settings
from mythicd.dialogue import prompt
from mythicd.dialogue.history import History
from mythicd.engines.llm import LlmRequest, Sampling, TextDelta
from mythicd.memory.records import Scope
from mythicd.paths import find
from mythicd.provisioning import engine_factory
from mythicd.provisioning.model_store import model_store
from mythicd.tts.phrase_buffer import PhraseBuffer
from mythicd.wire import frames
from mythicd.wire import messages as m
from mythicd.world.hot_reload import WorldFiles
from mythicd.world.live_world import LiveWorld
from mythicd.world.playthrough import Playthrough

HANGOVER_MS = 200.0
"""Silence after which an open microphone may answer words that look finished; also the wait of Pipecat's detector."""
UNSURE_WORDS = 2
"""Last words, which are final only at the end of the utterance."""


@dataclass(frozen=True, slots=True)
class Floor:
    """Times of the engines alone for one question, in milliseconds."""

    asr: float
    embed: float
    llm: float
    llm_told: float
    """The model's part if every line of lore is known in advance."""
    tts: float

    def total(self, hangover: float = 0.0, *, told: bool = False) -> float:
        """Return the floor: all parts one after the other, or the silence if that is longer."""
        return max(hangover, self.asr + self.embed + (self.llm_told if told else self.llm) + self.tts)


class _Nowhere:
    """An outlet that drops everything."""

    def send(self, message: m.ServerMessage) -> None:
        """Drop it."""

    def send_frame(self, frame: frames.Frame) -> None:
        """Drop it."""

    def drop_media(self, stream: int) -> None:
        """Do nothing."""

    def close(self, code: int, reason: str) -> None:
        """Do nothing."""


class Alone:
    """The engines of a daemon with these settings, without the daemon."""

    def __init__(self, data: Path, overrides: Mapping[str, Any]) -> None:
        self._data = data
        self._models = model_store(data)
        self._settings = load_settings(find("profiles", overrides["profile"], data), None, overrides)

    async def start(self) -> None:
        """Load the engines, as the daemon does."""
        settings = self._settings
        self._host = engine_factory.build(settings, self._data, self._models)
        await self._host.start()
        files = WorldFiles(find("worlds", settings.world, self._data))
        self._world = LiveWorld(files, self._host.engines(), settings, notices=[])
        await self._world.warm()
        self._playthrough = Playthrough(self._world, Scope("bench", "default", "player", "floor"), _Nowhere())
        await self._world.refresh(self._playthrough.scope)

    async def stop(self) -> None:
        """Free the engines."""
        await self._world.close()
        await self._host.stop()

    def mind(self, npc: str) -> tuple[ContextBuilder, ModelSession]:
        """Return memory and prompt of a character at first contact."""
        context = CharacterContext(
            npc,
            self._world,
            self._playthrough,
            self._world.engines,
            _Nowhere(),
            Routes(),
            clock=time.monotonic,
            wall=time.time,
        )
        history = History()
        tools = ToolDispatch(context, "floor", record=lambda record: None)
        return ContextBuilder(context, history, tools), ModelSession(context, history)

    async def recall(self, npc: str, words: str) -> prompt.Sections:
        """Return the lore found for these words."""
        builder, _ = self.mind(npc)
        return (await builder.search(words, "t-1")).sections

    async def time(self, npc: str, said: Speech) -> Floor:
        """Time each engine on one question."""
        engines = self._world.engines
        ear = await engines.asr.open()
        for frame in said.frames[int(LEAD_S * 50) - 5 : said.last + 1]:
            await ear.push(frame)
        begun = time.perf_counter()
        words = (await ear.finish()).text or "hello"
        heard = time.perf_counter()
        if engines.embedder is not None:
            await engines.embedder.embed([words])
        embedded = time.perf_counter()

        builder, session = self.mind(npc)
        ahead = await builder.search(" ".join(words.split()[:-1]), "t-1")
        found = (await builder.search(words, "t-1")).sections
        lines = [*ahead.sections.lore, *(line for line in found.lore if line not in ahead.sections.lore)]
        sections = prompt.Sections(tuple(lines), found.recent, found.scene)
        written, first = await self._write(npc, session, words, ahead.sections, sections)
        told = written
        if sections != ahead.sections:
            told, _ = await self._write(npc, session, words, sections, sections)
        before = time.perf_counter()
        async with aclosing(engines.tts.speak(first, self._playthrough.voice(npc))) as chunks:
            async for _ in chunks:
                break
        spoken = time.perf_counter()
        return Floor(
            asr=1000 * (heard - begun),
            embed=1000 * (embedded - heard),
            llm=1000 * written,
            llm_told=1000 * told,
            tts=1000 * (spoken - before),
        )

    async def _write(
        self, npc: str, session: ModelSession, words: str, ahead: prompt.Sections, sections: prompt.Sections
    ) -> tuple[float, str]:
        """Let the model, after prefill of the words before the last two, write the first clause; return the seconds."""
        llm = self._world.engines.llm
        await llm.attend(npc, session.resting_prompt())
        sure = " ".join(words.split()[:-UNSURE_WORDS])
        await llm.prepare(npc, session.turn_prompt(sure, ahead))
        sampling = Sampling(temperature=0, repeat_penalty=1.0, max_tokens=self._settings.llm.max_tokens)
        request = LlmRequest(npc, "t-1", session.turn_prompt(words, sections), (), sampling)
        phrases, first = PhraseBuffer(), ""
        begun = time.perf_counter()
        async with aclosing(llm.generate(request)) as events:
            async for event in events:
                if isinstance(event, TextDelta) and (ready := phrases.add(event.text, time.monotonic())):
                    first = ready[0].text
                    break
        return time.perf_counter() - begun, first or "".join(phrase.text for phrase in phrases.finish()) or "Hm."


async def floor(alone: Alone, *, npc: str, said: Speech) -> Floor:
    """Time the engines on one question."""
    return await alone.time(npc, said)


async def found(alone: Alone, *, npc: str, questions: Sequence[str]) -> dict[str, prompt.Sections]:
    """Return the lore found for each question, by its recognised words."""
    return {question: await alone.recall(npc, question.lower().rstrip("?")) for question in questions}
