"""The floor of a turn: the engines alone, one after the other, with nothing around them.

    floor = max(hangover, recogniser's finish + embedding + what is left to prefill + tokens of a clause + first chunk)

It works ahead as far as anybody could: the prompt is evaluated up to the words that no recogniser could be sure of
before the last sample (the last two), so that only they and the reply's header are left; and, where only the very last
word calls for some lines of lore, those, which nobody can read before it is said. The clairvoyant's floor has read them
before, too: it is told what the question will call for. Searching memory is in neither.
The hangover is the silence that an open microphone waits for before it answers; a key that is let go needs none.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.turn.audio_marks import LEAD_S, Speech
from mythicd.character.routing import Intercom
from mythicd.character.speak.tool_dispatch import Actions
from mythicd.character.think.generation import Thought
from mythicd.config.settings import load_settings
from mythicd.dialogue import prompt
from mythicd.dialogue.history import History
from mythicd.engines.llm import LlmRequest, Sampling, TextDelta
from mythicd.memory.records import Scope
from mythicd.paths import find
from mythicd.provisioning import engine_factory
from mythicd.tts.phrase_buffer import PhraseBuffer
from mythicd.wire import frames
from mythicd.wire import messages as m
from mythicd.world.hot_reload import Library
from mythicd.world.live_world import House
from mythicd.world.playthrough import Stage

HANGOVER_MS = 200.0
"""Silence after which an open microphone may answer words that look finished; Pipecat's detector waits as long."""
UNSURE_WORDS = 2
"""Words at the end that are final only when the utterance is."""


@dataclass(frozen=True, slots=True)
class Floor:
    """What the engines alone need for one question, in milliseconds."""

    asr: float
    embed: float
    llm: float
    llm_told: float
    """The model's part for a clairvoyant, who has read every line that the question will call for."""
    tts: float

    def total(self, hangover: float = 0.0, *, told: bool = False) -> float:
        """All of it, one after the other, while the silence lasts."""
        return max(hangover, self.asr + self.embed + (self.llm_told if told else self.llm) + self.tts)


class _Nowhere:
    """An outlet that nobody listens to."""

    def send(self, message: m.ServerMessage) -> None:
        """Drop it."""

    def send_frame(self, frame: frames.Frame) -> None:
        """Drop it."""

    def drop_media(self, stream: int) -> None:
        """There is none."""

    def close(self, code: int, reason: str) -> None:
        """It never was open."""


class Alone:
    """The engines of a daemon with these settings, called by hand."""

    def __init__(self, data: Path, overrides: Mapping[str, Any]) -> None:
        self._data = data
        self._settings = load_settings(find("profiles", "starter", data), None, overrides)

    async def start(self) -> None:
        """Load them, as the daemon does."""
        settings = self._settings
        self._engines = engine_factory.build(settings, self._data)
        await self._engines.start()
        library = Library(find("worlds", settings.world, self._data))
        self._house = House(library, self._engines.rooms(), settings, notices=[])
        await self._house.warm()
        self._stage = Stage(self._house, Scope("bench", "default", "player", "floor"), _Nowhere())
        await self._house.refresh(self._stage.scope)

    async def stop(self) -> None:
        """Free them."""
        await self._house.close()
        await self._engines.stop()

    def thought(self, npc: str) -> Thought:
        """Return the mind of a character who was never spoken to."""
        actions = Actions(
            npc,
            "floor",
            send=lambda message: None,
            record=lambda record: None,
            intercom=Intercom(),
            clock=time.monotonic,
            wall=time.time,
        )
        rooms, stage = self._house.rooms, self._stage
        return Thought(
            npc, stage, rooms, History(), actions, send=lambda message: None, clock=time.monotonic, wall=time.time
        )

    async def recall(self, npc: str, words: str) -> prompt.Sections:
        """Return what is found for these words."""
        question = await self.thought(npc).recall("t-1", words, understood=True, seed=1)
        return question.sections

    async def time(self, npc: str, said: Speech) -> Floor:
        """Time each engine on one question."""
        rooms = self._house.rooms
        ear = await rooms.asr.open()
        for frame in said.frames[int(LEAD_S * 50) - 5 : said.last + 1]:
            await ear.push(frame)
        begun = time.perf_counter()
        words = (await ear.finish()).text or "hello"
        heard = time.perf_counter()
        if rooms.embedder is not None:
            await rooms.embedder.embed([words])
        embedded = time.perf_counter()

        thought = self.thought(npc)
        ahead = await thought.glance("t-1", " ".join(words.split()[:-1]))
        found = (await thought.glance("t-1", words)).sections
        lines = [*ahead.sections.lore, *(line for line in found.lore if line not in ahead.sections.lore)]
        sections = prompt.Sections(tuple(lines), found.recent, found.scene)
        written, first = await self._write(npc, thought, words, ahead.sections, sections)
        told = written
        if sections != ahead.sections:
            told, _ = await self._write(npc, thought, words, sections, sections)
        before = time.perf_counter()
        async with aclosing(rooms.tts.speak(first, self._stage.voice(npc))) as chunks:
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
        self, npc: str, thought: Thought, words: str, ahead: prompt.Sections, sections: prompt.Sections
    ) -> tuple[float, str]:
        """Let the model, which has read the sure words behind `ahead`, write the first clause; return the seconds."""
        llm = self._house.rooms.llm
        await llm.attend(npc, thought.resting_prompt())
        sure = " ".join(words.split()[:-UNSURE_WORDS])
        await llm.prepare(npc, thought.turn_prompt(sure, ahead))
        sampling = Sampling(temperature=0, repeat_penalty=1.0, max_tokens=self._settings.llm.max_tokens)
        request = LlmRequest(npc, "t-1", thought.turn_prompt(words, sections), (), sampling)
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
    """Return what is found for each question, as it is heard."""
    return {question: await alone.recall(npc, question.lower().rstrip("?")) for question in questions}
