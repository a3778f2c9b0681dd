"""Conversations as screenplays in virtual time: who says what when, in front of characters with fake engines.

    async with Screenplay("marla") as p:
        p.llm.scripts = [["We open at noon, friend."]]
        await p.say(1.0)
        done = await p.done()

The player's loudspeaker is the real one (mythicd.playback), some milliseconds away. Everything that arrives is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mythicd.aec.canceller import EchoCanceller
from mythicd.character.character import Character
from mythicd.character.environment import CharacterContext, Engines
from mythicd.character.mailbox import MicFrame
from mythicd.character.routing import Routes
from mythicd.client.playback import Playback, PlaybackEvent, Played, Started, Stopped
from mythicd.config.settings import AsrSettings, LlmSettings, Settings, TurnSettings
from mythicd.config.world_files import PersonaCard, SamplingOverride, Thing, ToolDefinition, WordArgument
from mythicd.dialogue.state import State
from mythicd.dialogue.truecasing import NameCasing
from mythicd.engines.llm import InlineCall
from mythicd.engines.tts import VoiceSpec
from mythicd.engines.vad import VAD_FRAME
from mythicd.memory.query_vectors import QueryVectors
from mythicd.memory.records import Scope
from mythicd.wire import messages as m
from mythicd.wire.frames import Frame, FrameType
from tests.fakes import FakeAsr, FakeEmbedder, FakeLlm, FakeStore, FakeTts, FakeVad, now

LONG = "One two three four. Five six seven eight. Nine ten eleven twelve. Red blue green black. White grey pink brown."
SHOW = InlineCall("show", {"place": "market"})

UPLINK_S = 0.004
"""Seconds that a message takes either way."""
TICK_S = 0.02


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
    """The world and the playthrough of the characters (environment.WorldView, environment.Environment)."""

    def __init__(self, npcs: Sequence[str], settings: Settings) -> None:
        self.scope = Scope("game", "world", "ann", "one")
        self.echo: EchoCanceller | None = None
        self.settings = settings
        self.things = {"places": {"market": Thing(name="the market")}}
        self.tools = {name: _tool(name, needs_result=name == "ask") for name in ("show", "ask")}
        self.names = NameCasing([])
        self.name_beginnings: frozenset[str] = frozenset()
        self._npcs = tuple(npcs)
        self.fails: Exception | None = None
        self.writes = SamplingOverride()
        """What every card says of how its character writes."""

    @property
    def edition(self) -> object:
        return self

    def card(self, npc_id: str) -> PersonaCard:
        return PersonaCard(name=npc_id.title(), backstory=("You keep a tavern.",), llm=self.writes)

    def voice(self, npc_id: str) -> VoiceSpec:
        return VoiceSpec("fake", "fake")

    def world_prompt(self) -> str:
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
    frames: list[Frame] = field(default_factory=list)
    cut_s: float | None = None
    ducks: list[tuple[float, float]] = field(default_factory=list)
    """When it was made softer or as loud as before, and by how many dB."""


class Player:
    """The other end: plays what comes, says how far it is, answers tool calls. Everything that arrives is kept."""

    def __init__(self, post: Callable[[str, Any], None]) -> None:
        self._post = post
        self.log: list[tuple[float, m.ServerMessage | Frame]] = []
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
            case m.Duck():
                self.voices[message.stream].ducks.append((now(), message.gain_db))
            case m.Cutoff():
                voice = self.voices[message.stream]
                assert voice.cut_s is None, "a stream is cut once"
                voice.cut_s = now()
                self._tell(message.stream, voice.playback.cut(now()))
            case m.ToolCall():
                answer = self.answers(message)
                if answer is not None:
                    self._later(message.npc_id, answer)

    def send_frame(self, frame: Frame) -> None:
        voice = self.voices[frame.stream]  # its StreamStart came first
        assert voice.cut_s is None, "nothing of a dead stream leaves"
        self.log.append((now(), frame))
        voice.frames.append(frame)
        if frame.type == FrameType.TTS_PCM:
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

    def __init__(
        self,
        *npcs: str,
        min_confidence: float = 0.5,
        embedder: FakeEmbedder | None = None,
        turn: TurnSettings | None = None,
    ) -> None:
        settings = Settings(
            asr=AsrSettings(min_confidence=min_confidence), llm=LlmSettings(max_tokens=64), turn=turn or TurnSettings()
        )
        self.place = Place(npcs or ("marla",), settings)
        self.vad, self.asr, self.llm, self.tts = FakeVad(), FakeAsr(), FakeLlm(), FakeTts()
        self.store = FakeStore()
        vectors = QueryVectors(embedder) if embedder is not None else None
        store: Any = self.store
        self.engines = Engines(self.vad, self.asr, self.llm, self.tts, store, embedder, vectors)
        self.player = Player(self._post)
        self.routes = Routes()
        self.npcs = {npc_id: self._character(npc_id) for npc_id in npcs or ("marla",)}
        self._mics = 0
        self._gone = False

    def _character(self, npc_id: str) -> Character:
        return Character(self.context(npc_id))

    def context(self, npc_id: str) -> CharacterContext:
        return CharacterContext(
            npc_id,
            self.place,
            self.place,
            self.engines,
            self.player,
            self.routes,
            clock=now,
            wall=lambda: 1000.0 + now(),
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


async def speak(p: Screenplay, mic: int, words: str, *pauses: tuple[int, float]) -> None:
    """Say these words into an open microphone, a good quarter of a second each, and pause behind some of them
    (number of the word, seconds)."""
    p.asr.by_voice, p.asr.hears, p.asr.had = True, words, 0
    rests = dict(pauses)
    for number in range(len(words.split())):
        await p.talk(mic, 0.26)
        await p.talk(mic, rests.get(number, 0.0), voiced=False)


async def talked_over(p: Screenplay, after_s: float) -> int:
    """Ask for a line and open a microphone so long after its voice began; return the microphone's stream."""
    p.type("Tell me.")
    await p.player.come(m.StreamStart)
    await asyncio.sleep(after_s)
    return p.press(mode="open")
