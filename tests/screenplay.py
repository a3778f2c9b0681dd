"""Screenplays: scripted conversations of a player with characters that have fake engines, in virtual time.

    async with Screenplay("marla") as p:
        p.llm.scripts = [["We open at noon, friend."]]
        await p.say(1.0)
        done = await p.done()

The player's playback is that of the reference client (client/playback.py), `UPLINK_S` away. All messages are kept.
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
"""Seconds from the client to the server."""
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
    """The characters' world and playthrough (WorldView and Environment of character/environment.py)."""

    def __init__(self, npcs: Sequence[str], settings: Settings) -> None:
        self.scope = Scope("game", "world", "ann", "one")
        self.echo: EchoCanceller | None = None
        self.visemes: m.VisemeSetName = "ovr15"
        self.settings = settings
        self.things = {"places": {"market": Thing(name="the market")}}
        self.tools = {name: _tool(name, needs_result=name == "ask") for name in ("show", "ask")}
        self.names = NameCasing([])
        self.people: tuple[str, ...] = ("Marla", "Old Tobin", "Tobin")
        self.name_beginnings: frozenset[str] = frozenset()
        self._npcs = tuple(npcs)
        self.fails: Exception | None = None
        self.writes = SamplingOverride()
        """The sampling of every card."""

    @property
    def edition(self) -> object:
        return self

    def card(self, npc_id: str) -> PersonaCard:
        return PersonaCard(name=npc_id.title(), backstory=("You keep a tavern.",), llm=self.writes)

    def voice(self, npc_id: str) -> VoiceSpec:
        return VoiceSpec("fake", "fake")

    def world_prompt(self) -> str:
        return "You are in a town."

    def in_view(self, npc_id: str) -> bool:
        return True

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
    """A voice stream as the player's client has it."""

    npc_id: str
    playback: Playback
    frames: list[Frame] = field(default_factory=list)
    cut_s: float | None = None
    ducks: list[tuple[float, float]] = field(default_factory=list)
    """Each ducking: its time and its gain in dB."""


class Player:
    """The player's client: it plays voices, reports playheads and acknowledges tool calls. All messages are kept."""

    def __init__(self, post: Callable[[str, Any], None]) -> None:
        self._post = post
        self.log: list[tuple[float, m.ServerMessage | Frame]] = []
        self.voices: dict[int, Voice] = {}
        self.answers: Callable[[m.ToolCall], m.Ack | None] = lambda call: m.Ack(call_id=call.call_id)
        self.reports = True
        """Whether it reports playback."""
        self.closed_with: int | None = None
        self._arrived = asyncio.Event()
        self._ticking: asyncio.Task[None] | None = None
        self._paused_s: float | None = None
        """When the pause began."""
        self._total_pause_s = 0.0

    # the Outlet of the characters

    def send(self, message: m.ServerMessage) -> None:
        self.log.append((now(), message))
        self._arrived.set()
        match message:
            case m.StreamStart():
                assert message.stream not in self.voices, "second StreamStart of a stream"
                self.voices[message.stream] = Voice(message.npc_id, Playback(message.sample_rate))
            case m.StreamEnd():
                self.voices[message.stream].playback.end()
            case m.Duck():
                self.voices[message.stream].ducks.append((now(), message.gain_db))
            case m.Cutoff():
                voice = self.voices[message.stream]
                assert voice.cut_s is None, "second Cutoff of a stream"
                voice.cut_s = now()
                self._tell(message.stream, voice.playback.cut(self._playing_s()))
            case m.ToolCall():
                answer = self.answers(message)
                if answer is not None:
                    self._later(message.npc_id, answer)

    def send_frame(self, frame: Frame) -> None:
        voice = self.voices[frame.stream]  # its StreamStart came first
        assert voice.cut_s is None, "frame of a stream that was cut"
        self.log.append((now(), frame))
        voice.frames.append(frame)
        if frame.type == FrameType.TTS_PCM:
            if self._paused_s is None:
                self._tell(frame.stream, voice.playback.advance(self._playing_s()))
            voice.playback.add(frame.payload)

    def drop_media(self, stream: int) -> None: ...

    def close(self, code: int, reason: str) -> None:
        self.closed_with = code

    # playback

    def start(self) -> None:
        self._ticking = asyncio.create_task(self._tick())

    async def stop(self) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.gather(self._ticking, return_exceptions=True)

    def pause(self) -> None:
        """Pause the game: playback stops, and the playhead is reported as it is."""
        self._paused_s = now()

    def go_on(self) -> None:
        """End the pause."""
        assert self._paused_s is not None
        self._total_pause_s += now() - self._paused_s
        self._paused_s = None

    def _playing_s(self) -> float:
        """Return the time without pauses."""
        return (now() if self._paused_s is None else self._paused_s) - self._total_pause_s

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            for stream, voice in self.voices.items():
                paused = self._paused_s is not None and not voice.playback.stopped
                self._tell(
                    stream, [Played(voice.playback.played)] if paused else voice.playback.advance(self._playing_s())
                )

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

    # what arrived

    def all(self, kind: type[Any]) -> list[Any]:
        return [item for _, item in self.log if isinstance(item, kind)]

    def when(self, kind: type[Any]) -> float:
        """Return when the first message of a kind arrived."""
        return next(at for at, item in self.log if isinstance(item, kind))

    async def until(self, found: Callable[[], bool], timeout_s: float = 120.0) -> None:
        """Wait until this is true; it is checked for each message that arrives."""
        async with asyncio.timeout(timeout_s):
            while not found():
                self._arrived.clear()
                await self._arrived.wait()

    async def come(self, kind: type[Any], count: int = 1) -> Any:
        """Wait for the `count`th message of a kind, and return it."""
        await self.until(lambda: len(self.all(kind)) >= count)
        return self.all(kind)[count - 1]


class Screenplay:
    """Characters with fake engines, and a player. `async with` starts them, and closes them at the end."""

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

    def share_engines(self, other: Screenplay) -> None:
        """Give the characters, before they start, the engines and the store of another screenplay."""
        self.engines = other.engines
        self.npcs = {npc_id: self._character(npc_id) for npc_id in self.npcs}

    def vanish(self) -> None:
        """Break the player's connection: the characters get no more messages."""
        self._gone = True

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
        self.vanish()
        await asyncio.gather(*(npc.close() for npc in self.npcs.values()))
        await self.player.stop()
        assert all(npc.state is State.IDLE for npc in self.npcs.values())
        assert self.llm.faults == [], (self.llm.faults, self.llm.asked)

    # the player's actions

    def type(self, text: str, npc_id: str = "marla") -> None:
        self._post(npc_id, m.TextInput(npc_id=npc_id, text=text))

    def press(self, npc_id: str = "marla", mode: Any = "push_to_talk") -> int:
        """Open a microphone, and return its stream."""
        self._mics += 1
        self._post(npc_id, m.MicStart(stream=self._mics, npc_id=npc_id, mode=mode))
        return self._mics

    async def talk(self, stream: int, seconds: float, *, voiced: bool = True, npc_id: str = "marla") -> None:
        """Send voice, or silence, from an open microphone, in frames of 20 ms."""
        for _ in range(round(seconds / 0.02)):
            await asyncio.sleep(0.02)
            self._post(npc_id, MicFrame(stream, (b"\1\0" if voiced else b"\0\0") * VAD_FRAME, now()))

    def let_go(self, stream: int, npc_id: str = "marla") -> None:
        self._post(npc_id, m.MicStop(stream=stream))

    async def say(self, seconds: float = 1.0, npc_id: str = "marla") -> None:
        """Press the key, speak, and release it."""
        stream = self.press(npc_id)
        await self.talk(stream, seconds, npc_id=npc_id)
        self.let_go(stream, npc_id)

    async def done(self, count: int = 1) -> m.TurnTimeline:
        """Wait until `count` turns are over, and return the last one's timeline."""
        timeline = await self.player.come(m.TurnTimeline, count)
        assert isinstance(timeline, m.TurnTimeline)
        return timeline

    def states(self) -> list[str]:
        return [state.state for state in self.player.all(m.NpcState)]

    def errors(self) -> list[str]:
        return [error.code for error in self.player.all(m.Error)]


async def speak(p: Screenplay, mic: int, words: str, *pauses: tuple[int, float]) -> None:
    """Say these words into an open microphone, 0.26 s each, with pauses (number of the word before it, seconds)."""
    p.asr.by_voice, p.asr.hears, p.asr.had = True, words, 0
    rests = dict(pauses)
    for number in range(len(words.split())):
        await p.talk(mic, 0.26)
        await p.talk(mic, rests.get(number, 0.0), voiced=False)


async def talked_over(p: Screenplay, after_s: float) -> int:
    """Ask for a line, open a microphone `after_s` after its voice began, and return the microphone's stream."""
    p.type("Tell me.")
    await p.player.come(m.StreamStart)
    await asyncio.sleep(after_s)
    return p.press(mode="open")
