"""The protocol's messages, as frozen tagged structs: the class name is the wire's `type`.

Text frames are JSON objects with `schema_version` and `type`. `ClientMessage` is the union of what a game may send,
`ServerMessage` of what the daemon may send; tests/test_docs.py compares docs/protocol.md with this file. Audio and
visemes are binary frames (frames.py).

Units: times are sample indexes of the stream they refer to, or milliseconds where the name ends in `_ms`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

SCHEMA_VERSION: Literal["v1"] = "v1"
"""Version of the protocol; a client with another one is refused with close code 4406."""

Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:\-]{0,63}$")]
"""A name in a game: 1–64 letters, digits and `_ . : -`, beginning with a letter or digit."""

ShortText = Annotated[str, Meta(max_length=256)]
StreamId = Annotated[int, Meta(ge=1, le=0xFFFFFFFF)]
SampleIndex = Annotated[int, Meta(ge=0, le=2**63 - 1)]
MAX_TYPED = 2000
"""Most characters of typed words."""
VisemeSetName = Literal["ovr15", "arkit", "vrm", "rhubarb"]
"""Names of the sets of mouth shapes (frames.VISEME_SETS)."""


class Message(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="type", omit_defaults=False):
    """Base of all messages."""

    schema_version: Literal["v1"] = "v1"


# --- opening ---------------------------------------------------------------------------------------------------------


class Hello(Message, frozen=True, kw_only=True):
    """The client's first message. Its four ids scope everything that is stored."""

    game: Id
    """Which game this is, such as `lanternport`."""
    world: Id = "default"
    """Which world of the game: a server, a shard, a mod."""
    player: Id = "player"
    """Who is playing."""
    playthrough: Id = "default"
    """Which run through the story."""
    client: ShortText = ""
    """Name and version of the client, for the log."""
    debug_audio: bool = False
    """Whether voices come as base64 in `TTSChunk`, and the microphone may go as `AudioChunk`. For debugging only."""
    visemes: VisemeSetName = "ovr15"
    """The set of mouth shapes in which voices are described."""


class CharacterInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A character the client may talk to."""

    npc_id: str
    name: str
    zone: str


class Welcome(Message, frozen=True, kw_only=True):
    """The daemon's answer to `Hello`."""

    instance_id: str
    """New at each start of the daemon; equals the discovery file's."""
    version: str
    """Version of mythicd."""
    profile: str
    mic_rate: int
    """Sample rate the microphone's audio must have, in hertz."""
    voice_rate: int
    """Sample rate of the characters' voices, in hertz."""
    characters: tuple[CharacterInfo, ...] = ()


class Status(Message, frozen=True, kw_only=True):
    """The daemon's state: sent after `Welcome` and whenever it changes."""

    ready: bool
    """Whether every engine is loaded and warm."""
    notices: tuple[str, ...] = ()
    """What works less well than it could, and the command that fixes it."""
    profile: str = ""
    """Name of the daemon's profile."""
    profile_reason: str = ""
    """Why the daemon runs this profile: a sentence for people."""
    asr: str = ""
    llm: str = ""
    tts: str = ""
    embedder: str = ""
    world_title: str = ""
    """Title of the world that the daemon serves; `Hello.world` is another thing."""


# --- from the game ---------------------------------------------------------------------------------------------------


class MicStart(Message, frozen=True, kw_only=True):
    """The microphone opens: its PCM follows in binary frames of this stream."""

    stream: StreamId
    """Chosen by the client; each higher than the one before."""
    npc_id: Id | None = None
    """The character spoken to; when absent, the one attended to."""
    mode: Literal["push_to_talk", "open"] = "push_to_talk"
    """With `push_to_talk`, `MicStop` ends the turn at once; with `open`, silence does."""
    sample_rate: Literal[16000] = 16000


class MicStop(Message, frozen=True, kw_only=True):
    """The microphone closes. In push-to-talk this is the end of the player's turn."""

    stream: StreamId


class AudioChunk(Message, frozen=True, kw_only=True):
    """Microphone audio as base64, for debugging; needs `debug_audio` in `Hello`."""

    stream: StreamId
    pcm: bytes
    """s16le mono; base64 in JSON."""
    sample_rate: Literal[16000] = 16000


class TextInput(Message, frozen=True, kw_only=True):
    """The player's words, typed instead of spoken."""

    npc_id: Id
    text: Annotated[str, Meta(min_length=1, max_length=MAX_TYPED)]


class Attend(Message, frozen=True, kw_only=True):
    """A character enters or leaves the player's attention: entering warms it up."""

    npc_id: Id
    attending: bool = True


class SceneObject(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """Something near a character."""

    id: Id
    dist: Annotated[float, Meta(ge=0)] = 0.0
    """Distance from the character, in the game's units."""
    name: ShortText = ""
    """What a person would call it; the id when empty."""


class SceneUpdate(Message, frozen=True, kw_only=True):
    """A character's current surroundings."""

    npc_id: Id
    zone: ShortText = ""
    time: ShortText = ""
    """The game's clock, as people would say it: `21:10`."""
    objects: Annotated[tuple[SceneObject, ...], Meta(max_length=64)] = ()


class Ack(Message, frozen=True, kw_only=True):
    """The game's answer to a `ToolCall`. A second one for the same `call_id` is ignored."""

    ack_of: Literal["ToolCall"] = "ToolCall"
    call_id: Id
    turn_id: ShortText = ""
    status: Literal["ok", "error"] = "ok"
    message: ShortText = ""
    """Why it failed, in words a character could use."""
    result: dict[str, Any] = {}
    """What the tool found out, for tools that declare `needs_result`."""


class PlaybackStarted(Message, frozen=True, kw_only=True):
    """The first sample of a voice stream is audible."""

    stream: StreamId


class Playhead(Message, frozen=True, kw_only=True):
    """How far a voice stream has been heard; sent every 40–60 ms while it plays."""

    stream: StreamId
    played_samples: SampleIndex
    mic_samples: SampleIndex | None = None
    """The microphone stream's sample index at the same moment, when it is open."""


class PlaybackStopped(Message, frozen=True, kw_only=True):
    """A voice stream is silent now: it ended, or was cut off."""

    stream: StreamId
    played_samples: SampleIndex


# --- from the daemon -------------------------------------------------------------------------------------------------


class NpcState(Message, frozen=True, kw_only=True):
    """A character's dialogue state changed."""

    npc_id: str
    turn_id: str
    state: Literal["Idle", "Listening", "Thinking", "Speaking", "BargeIn"]


class ASRPartial(Message, frozen=True, kw_only=True):
    """The words recognised so far."""

    npc_id: str
    turn_id: str
    text: str
    stable: str = ""
    """The beginning of `text` that is not expected to change."""
    is_final: bool = False


class ASRFinal(Message, frozen=True, kw_only=True):
    """The player's words, as finally recognised."""

    npc_id: str
    turn_id: str
    text: str
    lang: str = "en"
    confidence: float = 1.0
    is_final: bool = True


class LLMStreamDelta(Message, frozen=True, kw_only=True):
    """Words of the reply, as captions. They are not yet heard."""

    npc_id: str
    turn_id: str
    delta: str


class StreamStart(Message, frozen=True, kw_only=True):
    """A voice stream opens: its audio and visemes follow in binary frames."""

    stream: int
    npc_id: str
    turn_id: str
    codec: Literal["pcm_s16le"] = "pcm_s16le"
    sample_rate: int
    channels: Literal[1] = 1
    viseme_set: Literal["OVR15", "ARKIT", "VRM", "RHUBARB"] = "OVR15"
    """The set of `Hello.visemes`, in capitals."""
    kind: Literal["reply", "backchannel"] = "reply"
    """`backchannel`: a sound of listening while the player speaks (mm-hm). It takes no turn and has no caption."""


class StreamEnd(Message, frozen=True, kw_only=True):
    """No more frames come for this stream."""

    stream: int
    samples: int
    """Length of the stream, in samples."""
    turn_id: str


class TTSChunk(Message, frozen=True, kw_only=True):
    """A voice frame as base64, for debugging; needs `debug_audio` in `Hello`."""

    stream: int
    npc_id: str
    timestamp: int
    """Sample index of the first sample."""
    pcm: bytes


class Duck(Message, frozen=True, kw_only=True):
    """Play this stream more softly, or at full volume again: the player talks over it and may not mean to interrupt."""

    stream: int
    gain_db: float
    """−12 to duck, 0 to restore. Reach it within 30 ms."""


class Cutoff(Message, frozen=True, kw_only=True):
    """Stop playing this stream: fade out within 15 ms and answer `PlaybackStopped`."""

    stream: int
    reason: Literal["barge_in", "cancelled", "error"] = "barge_in"


class ToolCall(Message, frozen=True, kw_only=True):
    """A tool call: the game carries it out and answers `Ack`. The words before it have been heard."""

    npc_id: str
    turn_id: str
    call_id: str
    """Unique; a game that has seen it must not act again, only answer `Ack` again."""
    name: str
    arguments: dict[str, Any]


class Busy(Message, frozen=True, kw_only=True):
    """The character cannot answer now."""

    npc_id: str
    reason: str
    retry_after_ms: int


class TurnTimeline(Message, frozen=True, kw_only=True):
    """The end of a turn, with the times of its marks."""

    npc_id: str
    turn_id: str
    marks: dict[str, float]
    """Milliseconds of each mark after `speech_end`, the last voiced sample (before it: negative)."""
    heard: str
    """What the player said, as recognised."""
    reply: str
    """What the character said."""
    played: str
    """The part of the reply that was heard."""


class Error(Message, frozen=True, kw_only=True):
    """An error; the connection stays open unless a close follows."""

    code: str
    """From the error tree (errors.py), such as `UNKNOWN_NPC`."""
    message: str
    """What was wrong, where."""
    remedy: str = ""
    """What to do about it."""
    retryable: bool = False
    npc_id: str = ""
    turn_id: str = ""
    call_id: str = ""
    ref: str = ""
    """An id under which the daemon's log has the details."""


ClientMessage = (
    Hello
    | MicStart
    | MicStop
    | AudioChunk
    | TextInput
    | Attend
    | SceneUpdate
    | Ack
    | PlaybackStarted
    | Playhead
    | PlaybackStopped
)

ServerMessage = (
    Welcome
    | Status
    | NpcState
    | ASRPartial
    | ASRFinal
    | LLMStreamDelta
    | StreamStart
    | StreamEnd
    | TTSChunk
    | Duck
    | Cutoff
    | ToolCall
    | Busy
    | TurnTimeline
    | Error
)


class VisemeEvent(msgspec.Struct, frozen=True, gc=False):
    """One mouth shape, on the sample clock of its stream."""

    start: int
    """Sample index of its first sample."""
    duration: int
    """Samples."""
    code: int
    """Index into the viseme set; 0 is the mouth at rest in every set."""
    weight: int = 255
    """0–255."""
    flags: int = 0
    """1 long, 2 primary stress, 4 secondary stress."""

    @property
    def end(self) -> int:
        """Sample index after its last sample."""
        return self.start + self.duration


class BlendEvent(msgspec.Struct, frozen=True, gc=False):
    """One mouth shape as weights of blend shapes, on the sample clock of its stream."""

    start: int
    """Sample index of its first sample."""
    duration: int
    """Samples."""
    weights: tuple[tuple[int, int], ...]
    """(index into the set, weight 1–255), by rising index; the weight of every other blend shape is 0."""
    flags: int = 0
    """1 long, 2 primary stress, 4 secondary stress."""

    @property
    def end(self) -> int:
        """Sample index after its last sample."""
        return self.start + self.duration


MouthEvent = VisemeEvent | BlendEvent
"""One mouth shape, as the viseme set of its stream describes it."""
