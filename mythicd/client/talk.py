"""`mythicd talk NPC`: a conversation from the terminal, over the same socket as a game's.

Every wait ends: with the turn's TurnTimeline, with an Error that no turn follows, with the state Idle when no words
were heard, or after PATIENCE_S in which nothing arrived, with an error that says what was waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from mythicd.audio.pcm import Clip, rms_dbfs
from mythicd.audio.wav import read_wav, write_wav
from mythicd.client.daemon_client import AT_ONCE, DaemonClient, ReceivedVoice, acknowledge
from mythicd.client.daemon_process import running_daemon
from mythicd.client.display import Display
from mythicd.client.loudspeaker import Loudspeaker
from mythicd.client.microphone import microphone
from mythicd.client.terminal import LineReader
from mythicd.errors import BadMessage, DaemonError, EngineUnavailable, UnknownNpc
from mythicd.native.espeakng import EspeakNg
from mythicd.wire import messages as m
from mythicd.wire.codec import is_blank

PATIENCE_S = 75.0
"""Longest silence of the daemon within a turn: it gives up a reply itself after 60 s without progress."""
PLAYER_VOICE = "en-us+f2"
"""espeak-ng voice of `--say`; no character of the sample world uses it."""
GOODBYES = ("exit", "quit")
"""Typed lines that end a conversation."""


@dataclass(frozen=True, slots=True)
class Question:
    """One turn of the player."""

    text: str = ""
    """Typed words, or the label printed for `clip`."""
    clip: Clip | None = None
    """Spoken words."""
    from_microphone: bool = False
    is_shown: bool = True
    """Whether it is printed: a line typed at the terminal stands there already."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to send."""
        if self.clip is not None:
            return not self.clip.pcm
        return not self.from_microphone and is_blank(self.text)


def synthesise(text: str) -> Clip:
    """Speak a sentence in the player's synthetic voice. Raises EngineUnavailable."""
    engine = EspeakNg.load()
    pcm = b"".join(chunk.pcm for chunk in engine.synthesize(text, PLAYER_VOICE, 150, 50))
    return Clip(pcm, engine.sample_rate)


def question_from_wav(file: Path) -> Question:
    """Read a question from a sound file. Raises AudioError."""
    return Question(text=f"({file.name})", clip=read_wav(file))


def question_from_text(text: str, *, is_shown: bool = True) -> Question:
    """Return a typed question. Raises BadMessage when it is too long to be sent."""
    if len(text) > m.MAX_TYPED:
        raise BadMessage(
            f"The text has {len(text)} characters; the limit is {m.MAX_TYPED}.",
            remedy="Shorten it, or send it in parts.",
        )
    return Question(text=text, is_shown=is_shown)


async def talk(
    npc_id: str,
    questions: Sequence[Question] | None,
    *,
    data: Path,
    hello: m.Hello,
    wanted: Mapping[str, str],
    daemon_arguments: Sequence[str] = (),
    out: Path | None = None,
    timeline: bool = False,
    sound: bool | None = None,
    console: Console,
) -> bool:
    """Have a conversation, print it, and write the character's voice to `out`.

    Without `questions` they are typed, line by line. `wanted` may name the `world` and `profile` to be served. `sound`
    plays voices; None plays them where a sound device works. Returns whether no question failed. Raises MythicError or
    DaemonStopped.
    """
    async with contextlib.AsyncExitStack() as stack:
        where = await stack.enter_async_context(running_daemon(data, wanted, daemon_arguments, console))
        client = await stack.enter_async_context(await DaemonClient.connect(data, hello, discovery=where))
        names = {character.npc_id: character.name for character in client.welcome.characters}
        if npc_id not in names:
            known = f"Choose one of: {', '.join(names)}." if names else "Add a character to its folder npcs/."
            raise UnknownNpc(f"There is no character {npc_id!r} in the world {where.world_dir}.", remedy=known)
        display = Display(console, names[npc_id])
        if (status := await client.next_event(PATIENCE_S)) is not None:  # the daemon sends it at once
            display.show(status)
        client.tools = _accept(display)
        client.loudspeaker = _open_loudspeaker(sound, client.welcome.voice_rate, display, console.is_terminal)
        if client.loudspeaker is not None:
            stack.callback(client.loudspeaker.close)
        elif not timeline and not any(question.from_microphone for question in questions or ()):
            client.speed = AT_ONCE
        await client.send(m.Attend(npc_id=npc_id))
        conversation = Conversation(client, npc_id, display, timeline=timeline)
        said: list[ReceivedVoice] = []
        async for question in _typed(client, display) if questions is None else _each(questions):
            voices = await conversation.ask(question)
            if out is not None:
                said += voices
        if out is not None and said:
            clip = Clip(b"".join(stream.clip.pcm for stream in said), said[0].clip.rate)
            write_wav(out, clip)
            display.line("voice", f"{out}: {clip.duration_s:.2f} s, {clip.rate} Hz, {rms_dbfs(clip.pcm):.1f} dBFS")
        return not conversation.has_failed


class Conversation:
    """Questions to one character, and the waits for its replies."""

    def __init__(self, client: DaemonClient, npc_id: str, display: Display, *, timeline: bool = False) -> None:
        self.has_failed = False
        """Whether a question got an error instead of a reply."""
        self._client = client
        self._npc_id = npc_id
        self._display = display
        self._timeline = timeline
        self._asked_s = math.inf
        """When the question was sent to its end, on the monotonic clock."""
        self._old_turns: set[str] = set()
        """Turns of earlier questions: what still comes of them does not end a wait."""
        self._turns: set[str] = set()
        """Turns seen since this question."""

    async def ask(self, question: Question) -> list[ReceivedVoice]:
        """Ask one question, print the reply, and return its voice streams. Raises MythicError."""
        if question.is_empty:
            self._display.heard_nothing()
            return []
        for message in self._client.pending_events():
            self._note(message)
        self._old_turns |= self._turns
        self._turns = set()
        before = set(self._client.streams)
        self._asked_s = math.inf
        asking = asyncio.create_task(self._send(question), name="talk asks")
        asking.add_done_callback(self._note_asked)
        answering = asyncio.create_task(self._answer(question), name="talk waits")
        try:
            # An error of asking (no microphone) must end the wait, and a reply may come before asking ends (an open
            # microphone never ends by itself).
            await asyncio.wait({asking, answering}, return_when="FIRST_COMPLETED")
            if asking.done():
                asking.result()
            done = await answering
        finally:
            for task in (asking, answering):
                task.cancel()
            await asyncio.gather(asking, answering, return_exceptions=True)
        voices = [stream for number, stream in self._client.streams.items() if number not in before]
        for voice in voices:
            self._display.voice(voice)
        if self._timeline and done is not None and done.marks:
            self._display.waterfall(done.marks)
        return voices

    async def _send(self, question: Question) -> None:
        """Send the question to the daemon; a microphone stays open until cancelled."""
        if question.from_microphone:
            self._display.line("player", "speak now …")
            async with contextlib.aclosing(microphone()) as blocks:
                await self._client.listen(self._npc_id, blocks)
        elif question.clip is not None:
            self._display.line("player", (f"speaks for {question.clip.duration_s:.1f} s ", "italic"), question.text)
            await self._client.speak(self._npc_id, question.clip)
        else:
            if question.is_shown:
                self._display.line("player", question.text)
            await self._client.send(m.TextInput(npc_id=self._npc_id, text=question.text))

    async def _answer(self, question: Question) -> m.TurnTimeline | None:
        """Print the daemon's messages until the turn is over; None when there was no turn."""
        is_spoken = question.clip is not None or question.from_microphone
        awaited = "words (ASRFinal)" if is_spoken else "reply (StreamStart)"
        has_begun = was_told = had_error = False
        while True:
            message = await self._next(question, awaited, has_begun)
            if message is None:
                self._display.heard_nothing()
                return None
            self._note(message)
            self._display.show(message)
            match message:
                case m.NpcState(npc_id=self._npc_id, state="Idle") if has_begun:
                    self.has_failed = self.has_failed or had_error
                    if not was_told:
                        self._display.heard_nothing()
                    if not question.from_microphone:
                        return None
                    has_begun = was_told = had_error = False  # it was a noise, and the microphone stays open
                case m.NpcState(npc_id=self._npc_id, state=state):
                    has_begun = has_begun or state != "Idle"
                case m.ASRFinal(text=text):
                    awaited, was_told = "reply (StreamStart)", was_told or not text
                case m.StreamStart(kind="reply"):
                    awaited = "end of the turn (TurnTimeline)"
                case m.Error(turn_id="", code=code) if not (has_begun and code == "UNKNOWN_STREAM"):
                    self.has_failed = True
                    return None
                case m.Error() | m.Busy():
                    was_told = had_error = True
                case m.TurnTimeline(turn_id=turn_id) if turn_id not in self._old_turns:
                    self.has_failed = self.has_failed or (had_error and not message.reply)
                    return message

    async def _next(self, question: Question, awaited: str, has_begun: bool) -> m.ServerMessage | None:
        """Return the daemon's next message; None when the player says nothing into an open microphone. Raises
        DaemonError when what is awaited does not come."""
        while True:
            try:
                message = await self._client.next_event(PATIENCE_S)
            except TimeoutError:
                if question.from_microphone and not has_begun:
                    return None
                if not question.from_microphone and time.monotonic() < self._asked_s + PATIENCE_S:
                    continue
                raise DaemonError(
                    f"The daemon sent nothing for {PATIENCE_S:.0f} s; this waited for its {awaited}.",
                    remedy="See the daemon's log, and try again.",
                ) from None
            if message is None:
                raise self._client.lost()
            return message

    def _note(self, message: m.ServerMessage) -> None:
        turn_id = getattr(message, "turn_id", "")
        if turn_id:
            self._turns.add(turn_id)

    def _note_asked(self, _: asyncio.Task[None]) -> None:
        self._asked_s = time.monotonic()


async def _each(questions: Sequence[Question]) -> AsyncIterator[Question]:
    for question in questions:
        yield question


async def _typed(client: DaemonClient, display: Display) -> AsyncIterator[Question]:
    """Yield each line of standard input until its end, or until the player says goodbye. Raises DaemonUnreachable."""
    reader = LineReader(sys.stdin)
    if reader.is_terminal:
        display.line("", ("Type a line to say it; `exit` or Ctrl-D ends.", "dim"))
    closed = asyncio.create_task(client.closed.wait(), name="talk watches its connection")
    try:
        while True:
            if reader.is_terminal:
                display.prompt()
            typing = asyncio.create_task(reader.next_line(), name="talk reads a line")
            await asyncio.wait({typing, closed}, return_when="FIRST_COMPLETED")
            if not typing.done():
                typing.cancel()
                raise client.lost()
            line = typing.result()
            if line is None or line.strip().lower() in GOODBYES:
                return
            try:
                yield question_from_text(line.strip(), is_shown=not reader.is_terminal)
            except BadMessage as error:
                display.error(error)
    finally:
        closed.cancel()


def _open_loudspeaker(sound: bool | None, rate: int, display: Display, is_terminal: bool) -> Loudspeaker | None:
    """Return the sound device if voices are to be heard. Raises EngineUnavailable when they must be, and cannot."""
    if sound is False:
        return None
    try:
        return Loudspeaker(rate)
    except EngineUnavailable as error:
        if sound:
            raise
        if is_terminal:
            display.line("no sound", (str(error), "dim"))
        return None


def _accept(display: Display) -> Callable[[m.ToolCall], Awaitable[m.Ack]]:
    """Return a tool handler that accepts every call and prints its `Ack`."""

    async def carry_out(call: m.ToolCall) -> m.Ack:
        display.line("  game", f"ack {call.call_id} ok")
        return await acknowledge(call)

    return carry_out
