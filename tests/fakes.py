"""Engines, a store and a player, scripted by durations: each implements the real Protocol and runs on the loop's clock.

Microphone audio is voiced where its samples are not zero. The voice says a word in 0.31 s of sound, of which it needs a
tenth to make it. The player's loudspeaker is the real one (mythicd.playback), some milliseconds away.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mythicd import messages as m
from mythicd import wire
from mythicd.config import LlmSettings, RagSettings, Settings
from mythicd.dialogue.casing import Names
from mythicd.dialogue.state import State
from mythicd.engines import (
    MIC_RATE,
    VAD_FRAME,
    Embedder,
    Finished,
    Focus,
    InlineCall,
    LlmAbilities,
    LlmEvent,
    LlmRequest,
    PhonemeOnset,
    PrefillDone,
    Prompt,
    Recognition,
    TextDelta,
    Vocabulary,
    VoiceChunk,
    VoiceSpec,
    WordOnset,
)
from mythicd.errors import EngineError, StoreError
from mythicd.figures import LlmFigures
from mythicd.intercom import Intercom
from mythicd.mailbox import MicFrame
from mythicd.memory.embedder import QueryVectors
from mythicd.memory.query import Query
from mythicd.memory.records import Heard, Scope, SyncCounts, ToolRecord, Utterance
from mythicd.memory.retrieval import ScoredLine
from mythicd.npc import Character
from mythicd.playback import Playback, PlaybackEvent, Played, Started, Stopped
from mythicd.surroundings import Rooms
from mythicd.worldfile import PersonaCard, SamplingOverride, Thing, ToolDefinition, WordArgument, World

VOICE_RATE = 8000
WORD_S = 0.31
"""Seconds of sound in a word."""
UPLINK_S = 0.004
"""Seconds that a message takes either way."""
TICK_S = 0.02


def now() -> float:
    """The loop's clock."""
    return asyncio.get_running_loop().time()


class FakeVad:
    """Hears a voice wherever there is a sample that is not zero."""

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
    """Understands `hears` of whatever is said, one word for each 0.25 s."""

    def __init__(self) -> None:
        self.hears = "when do you open"
        self.hears_at_last: str | None = None
        """The final words, where they are others."""
        self.confidence = 0.9
        self.finish_s = 0.05
        self.fails: str = ""
        """`open`, `push` or `finish`: where it fails."""
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
    """One utterance."""

    def __init__(self, asr: FakeAsr) -> None:
        self._asr = asr
        self._voiced = 0

    async def push(self, pcm: bytes) -> str:
        if self._asr.fails == "push":
            raise EngineError("The recogniser failed.")
        self._voiced += sum(1 for byte in pcm[::2] if byte)
        return " ".join(self._asr.hears.split()[: int(self._voiced / MIC_RATE / 0.25)])

    async def finish(self) -> Recognition:
        await asyncio.sleep(3600 if self._asr.hangs else self._asr.finish_s)
        if self._asr.fails == "finish":
            raise EngineError("The recogniser failed at the end.")
        if not self._voiced:
            return Recognition("", 0.0)
        at_last = self._asr.hears_at_last
        return Recognition(self._asr.hears if at_last is None else at_last, self._asr.confidence)

    async def abandon(self) -> None:
        if self._asr.fails:
            raise EngineError("The recogniser is gone.")


Step = str | float | InlineCall | Exception
"""What a model does next: write, be silent for some seconds, call a tool, fail."""


class FakeLlm:
    """Writes its script; with several, one for each request, the last one for ever.

    Of prompts it holds, like the real one, the words of each character's last, and evaluates what is new at `rate`
    words a second. A screenplay fails when it was asked for what must not be.
    """

    abilities = LlmAbilities(prepares=True, places_calls=True, adapters=True)

    def __init__(self) -> None:
        self.scripts: list[list[Step]] = [["We open at noon, friend. ", 0.1, "Come in then."]]
        self.to: dict[str, list[Step]] = {}
        """What it writes in answer to these words, whenever they come."""
        self.figures = LlmFigures()
        self.prefill_s = 0.1
        """What a reply waits for its first token, beside what is new in its prompt."""
        self.close_s = 0.0
        """How long it takes to stop a reply."""
        self.rate = 2000.0
        self.requests: list[LlmRequest] = []
        self.evaluated: list[int] = []
        """Words that were new in the prompt of each request."""
        self.attended: list[Prompt] = []
        self.prepared: list[Prompt] = []
        self.asked: list[tuple[float, str, str]] = []
        """Everything it was asked for: when, what, for whom."""
        self.faults: list[str] = []
        """What nobody may ask of it."""
        self.focused: list[Focus] = []
        self.closed: list[tuple[float, bool]] = []
        """When each reply was closed, and whether it was whole."""
        self.held: dict[str, list[str]] = {}
        """The words in each character's sequence."""
        self._writing: set[str] = set()
        self._ahead: dict[str, object] = {}
        """What is done ahead for each character, until something else takes over."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def attend(self, npc_id: str, prompt: Prompt) -> None:
        self._note("attend", npc_id)
        await self._read_ahead(npc_id, prompt)
        self.attended.append(prompt)

    async def prepare(self, npc_id: str, prompt: Prompt) -> None:
        self._note("prepare", npc_id)
        self.prepared.append(prompt)
        await self._read_ahead(npc_id, prompt)

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
        """What was asked for this character, in order."""
        return [what for _, what, whose in self.asked if whose.split()[0] == npc_id]

    def _note(self, what: str, npc_id: str) -> None:
        if npc_id in self._writing:
            self.faults.append(f"{what} while {npc_id} writes")
        self.asked.append((now(), what, npc_id))

    async def _read_ahead(self, npc_id: str, prompt: Prompt) -> None:
        mine = self._ahead[npc_id] = object()
        words = _words(prompt)
        held = self.held[npc_id] = _common(self.held.get(npc_id, []), words)
        for word in words[len(held) :]:
            await asyncio.sleep(1 / self.rate)
            if self._ahead.get(npc_id) is not mine:
                return
            held.append(word)

    async def generate(self, request: LlmRequest) -> AsyncGenerator[LlmEvent, None]:
        npc_id = request.npc_id
        script = self.scripts[min(len(self.requests), len(self.scripts) - 1)]
        for words, answer in self.to.items():
            script = answer if request.prompt.turn[0].content.endswith(words) else script
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
                        yield TextDelta(piece)
                else:
                    yield step
            whole = True
            yield Finished("stop", len(prompt), new, 10)
        finally:
            closing = asyncio.ensure_future(asyncio.sleep(0.0 if whole else self.close_s))
            while not closing.done():  # whoever is cancelled a second time waits all the same
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
    """Says each word in `WORD_S` of sound."""

    sample_rate = VOICE_RATE

    def __init__(self) -> None:
        self.begun: list[tuple[float, str]] = []
        self.fails_at: str | None = None
        """The word that it cannot say."""
        self.closed = 0

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def prepare(self, voice: VoiceSpec) -> None: ...

    async def speak(self, text: str, voice: VoiceSpec) -> AsyncGenerator[VoiceChunk, None]:
        self.begun.append((now(), text))
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
    """Makes vectors, slowly."""

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
    """Remembers in a list."""

    def __init__(self) -> None:
        self.utterances: list[Utterance] = []
        self.tools: list[ToolRecord] = []
        self.lore: dict[str, str] = {}
        """A line for each word that it is found by."""
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


def _tool(name: str, *, needs_result: bool) -> ToolDefinition:
    return ToolDefinition(
        name=name,
        description="show a place",
        words={"place": WordArgument(kind="places", description="a place")},
        arguments={"place_id": "$place.id"},
        schema={"type": "object", "properties": {"place_id": {"type": "string"}}, "required": ["place_id"]},
        needs_result=needs_result,
        timeout_ms=2000,
    )


class Place:
    """What is around the characters (thought.Surroundings)."""

    def __init__(self, npcs: Sequence[str], settings: Settings) -> None:
        self.scope = Scope("game", "world", "ann", "one")
        self.settings = settings
        self.things = {"places": {"market": Thing(name="the market")}}
        self.tools = {name: _tool(name, needs_result=name == "ask") for name in ("show", "ask")}
        self.names = Names([])
        self._npcs = tuple(npcs)
        self.fails: Exception | None = None
        self.writes = SamplingOverride()
        """What every card says of how its character writes."""

    def card(self, npc_id: str) -> PersonaCard:
        return PersonaCard(name=npc_id.title(), backstory=("You keep a tavern.",), llm=self.writes)

    def voice(self, npc_id: str) -> VoiceSpec:
        return VoiceSpec("fake", "fake")

    def world_part(self) -> str:
        return "You are in a town."

    def zone(self, npc_id: str) -> str:
        return "tavern"

    def scene(self, npc_id: str) -> m.SceneUpdate | None:
        return None

    def present(self, npc_id: str) -> tuple[str, ...]:
        return (npc_id,)

    async def refresh(self) -> None:
        if self.fails is not None:
            raise self.fails


@dataclass
class Voice:
    """A voice stream at the player's."""

    npc_id: str
    playback: Playback
    frames: list[wire.Frame] = field(default_factory=list)
    cut_s: float | None = None


class Player:
    """The other end: plays what comes, says how far it is, answers tool calls. Everything that arrives is kept."""

    def __init__(self, post: Callable[[str, Any], None]) -> None:
        self._post = post
        self.log: list[tuple[float, m.ServerMessage | wire.Frame]] = []
        self.voices: dict[int, Voice] = {}
        self.answers: Callable[[m.ToolCall], m.Ack | None] = lambda call: m.Ack(call_id=call.call_id)
        self.reports = True
        """Whether it says what it plays."""
        self.closed_with: int | None = None
        self._arrived = asyncio.Event()
        self._ticking: asyncio.Task[None] | None = None
        self._paused_s: float | None = None

    # Outlet

    def send(self, message: m.ServerMessage) -> None:
        self.log.append((now(), message))
        self._arrived.set()
        match message:
            case m.StreamStart():
                assert message.stream not in self.voices, "a stream starts once"
                self.voices[message.stream] = Voice(message.npc_id, Playback(message.sample_rate))
            case m.StreamEnd():
                self.voices[message.stream].playback.end()
            case m.Cutoff():
                voice = self.voices[message.stream]
                assert voice.cut_s is None, "a stream is cut once"
                voice.cut_s = now()
                self._tell(message.stream, voice.playback.cut(now()))
            case m.ToolCall():
                answer = self.answers(message)
                if answer is not None:
                    self._later(message.npc_id, answer)

    def send_frame(self, frame: wire.Frame) -> None:
        voice = self.voices[frame.stream]  # its StreamStart came first
        assert voice.cut_s is None, "nothing of a dead stream leaves"
        self.log.append((now(), frame))
        voice.frames.append(frame)
        if frame.type == wire.FrameType.TTS_PCM:
            if self._paused_s is None:
                self._tell(frame.stream, voice.playback.advance(now()))
            voice.playback.add(frame.payload)

    def drop_media(self, stream: int) -> None: ...

    def close(self, code: int, reason: str) -> None:
        self.closed_with = code

    # the loudspeaker

    def start(self) -> None:
        self._ticking = asyncio.create_task(self._tick())

    async def stop(self) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.gather(self._ticking, return_exceptions=True)

    def pause(self) -> None:
        """The game is paused: voices stand still, and the playhead is told as it stands."""
        self._paused_s = now()

    def go_on(self) -> None:
        """The game goes on."""
        assert self._paused_s is not None
        for voice in self.voices.values():
            if voice.playback._anchor is not None:
                voice.playback._anchor = (voice.playback._anchor[0] + now() - self._paused_s, voice.playback._anchor[1])
        self._paused_s = None

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            for stream, voice in self.voices.items():
                paused = self._paused_s is not None and not voice.playback.stopped
                self._tell(stream, [Played(voice.playback.played)] if paused else voice.playback.advance(now()))

    def _tell(self, stream: int, events: list[PlaybackEvent]) -> None:
        for event in events if self.reports else ():
            match event:
                case Started():
                    self._later(self.voices[stream].npc_id, m.PlaybackStarted(stream=stream))
                case Played(samples):
                    self._later(self.voices[stream].npc_id, m.Playhead(stream=stream, played_samples=samples))
                case Stopped(samples):
                    self._later(self.voices[stream].npc_id, m.PlaybackStopped(stream=stream, played_samples=samples))

    def _later(self, npc_id: str, message: Any) -> None:
        asyncio.get_running_loop().call_later(UPLINK_S, self._post, npc_id, message)

    # what a test asks

    def all(self, kind: type[Any]) -> list[Any]:
        return [item for _, item in self.log if isinstance(item, kind)]

    def when(self, kind: type[Any]) -> float:
        """When the first of a kind arrived."""
        return next(at for at, item in self.log if isinstance(item, kind))

    async def until(self, found: Callable[[], bool], timeout_s: float = 120.0) -> None:
        """Wait until something that arrives makes this true."""
        async with asyncio.timeout(timeout_s):
            while not found():
                self._arrived.clear()
                await self._arrived.wait()

    async def come(self, kind: type[Any], count: int = 1) -> Any:
        """Wait for the `count`th message of a kind, and return it."""
        await self.until(lambda: len(self.all(kind)) >= count)
        return self.all(kind)[count - 1]


class Screenplay:
    """Characters with fake engines and a player in front of them. `async with` brings them to life and lets them go."""

    def __init__(self, *npcs: str, min_confidence: float = 0.5, embedder: FakeEmbedder | None = None) -> None:
        from mythicd.config import AsrSettings

        settings = Settings(asr=AsrSettings(min_confidence=min_confidence), llm=LlmSettings(max_tokens=64))
        self.place = Place(npcs or ("marla",), settings)
        self.vad, self.asr, self.llm, self.tts = FakeVad(), FakeAsr(), FakeLlm(), FakeTts()
        self.store = FakeStore()
        vectors = QueryVectors(embedder) if embedder is not None else None
        store: Any = self.store
        self.rooms = Rooms(self.vad, self.asr, self.llm, self.tts, store, embedder, vectors)
        self.player = Player(self._post)
        self.intercom = Intercom()
        self.npcs = {npc_id: self._character(npc_id) for npc_id in npcs or ("marla",)}
        self._mics = 0
        self._gone = False

    def _character(self, npc_id: str) -> Character:
        return Character(
            npc_id, self.place, self.rooms, self.player, self.intercom, clock=now, wall=lambda: 1000.0 + now()
        )

    def _post(self, npc_id: str, message: Any) -> None:
        if not self._gone:
            self.npcs[npc_id].post(message)

    @property
    def npc(self) -> Character:
        return next(iter(self.npcs.values()))

    async def __aenter__(self) -> Screenplay:
        self.player.start()
        for npc in self.npcs.values():
            npc.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._gone = True
        await asyncio.gather(*(npc.close() for npc in self.npcs.values()))
        await self.player.stop()
        assert all(npc.state is State.IDLE for npc in self.npcs.values())
        assert self.llm.faults == [], (self.llm.faults, self.llm.asked)

    # what the player does

    def type(self, text: str, npc_id: str = "marla") -> None:
        self._post(npc_id, m.TextInput(npc_id=npc_id, text=text))

    def press(self, npc_id: str = "marla", mode: Any = "push_to_talk") -> int:
        """Open a microphone; return its stream."""
        self._mics += 1
        self._post(npc_id, m.MicStart(stream=self._mics, npc_id=npc_id, mode=mode))
        return self._mics

    async def talk(self, stream: int, seconds: float, *, voiced: bool = True, npc_id: str = "marla") -> None:
        """Speak, or be silent, into an open microphone, in frames of 20 ms."""
        for _ in range(round(seconds / 0.02)):
            await asyncio.sleep(0.02)
            self._post(npc_id, MicFrame(stream, (b"\1\0" if voiced else b"\0\0") * VAD_FRAME, now()))

    def let_go(self, stream: int, npc_id: str = "marla") -> None:
        self._post(npc_id, m.MicStop(stream=stream))

    async def say(self, seconds: float = 1.0, npc_id: str = "marla") -> None:
        """Press the key, speak, let go."""
        stream = self.press(npc_id)
        await self.talk(stream, seconds, npc_id=npc_id)
        self.let_go(stream, npc_id)

    async def done(self, count: int = 1) -> m.TurnTimeline:
        """Wait until `count` turns are over; return the last one's timeline."""
        timeline = await self.player.come(m.TurnTimeline, count)
        assert isinstance(timeline, m.TurnTimeline)
        return timeline

    def states(self) -> list[str]:
        return [state.state for state in self.player.all(m.NpcState)]

    def errors(self) -> list[str]:
        return [error.code for error in self.player.all(m.Error)]
