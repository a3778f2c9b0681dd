"""`mythicd talk NPC`: a conversation from the terminal, over the same socket as a game's."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mythicd.audio.pcm import Clip, ms_of, rms_dbfs
from mythicd.audio.wav import read_wav, write_wav
from mythicd.client.daemon_client import DaemonClient, ReceivedVoice
from mythicd.client.microphone import microphone
from mythicd.errors import DaemonError, DaemonUnreachable, MythicError, UnknownNpc
from mythicd.native.espeakng import EspeakNg
from mythicd.telemetry.timeline import spans
from mythicd.wire import messages as m
from mythicd.wire.discovery import discover
from mythicd.wire.frames import OVR15

START_TIMEOUT_S = 60.0
TURN_TIMEOUT_S = 60.0
PLAYER_VOICE = "en-us+f2"
"""espeak-ng voice of `--say`; no character of the sample world uses it."""
STAGE_COLOURS = ("cyan", "blue", "magenta", "green", "yellow", "red")


@dataclass(frozen=True, slots=True)
class Question:
    """One turn of the player."""

    text: str = ""
    """Typed words, or the label printed for `clip`."""
    clip: Clip | None = None
    """Spoken words."""
    from_microphone: bool = False


def synthesise(text: str) -> Clip:
    """Speak a sentence in the player's synthetic voice. Raises EngineUnavailable."""
    engine = EspeakNg.load()
    pcm = b"".join(chunk.pcm for chunk in engine.synthesize(text, PLAYER_VOICE, 150, 50))
    return Clip(pcm, engine.sample_rate)


@contextlib.asynccontextmanager
async def daemon(data: Path, arguments: Sequence[str], console: Console) -> AsyncIterator[None]:
    """Start a daemon unless one is running; stop it after the block if it was started here."""
    try:
        running = psutil.pid_exists(discover(data).pid)
    except DaemonUnreachable:
        running = False
    if running:
        yield
        return
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mythicd", "run", "--headless", "--data", str(data), *arguments
    )
    try:
        with console.status("starting mythicd …"):
            await _ready(data, process)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _ready(data: Path, process: asyncio.subprocess.Process) -> None:
    """Wait until the daemon of `process` is ready. Raises DaemonError when it ends or takes too long."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.returncode is not None:
            raise DaemonError(f"mythicd stopped with exit code {process.returncode}.", remedy="See its message above.")
        with contextlib.suppress(DaemonUnreachable):
            if discover(data).pid == process.pid:
                return
        await asyncio.sleep(0.05)
    raise DaemonError(
        f"mythicd was not ready within {START_TIMEOUT_S:.0f} s.", remedy="Run `mythicd run` and read its log."
    )


async def talk(
    npc_id: str,
    questions: Sequence[Question],
    *,
    data: Path,
    hello: m.Hello,
    daemon_arguments: Sequence[str] = (),
    out: Path | None = None,
    timeline: bool = False,
    console: Console | None = None,
) -> None:
    """Have a conversation, print it, and write the character's voice to `out`. Raises MythicError."""
    console = console or Console(highlight=False)
    async with (
        daemon(data, daemon_arguments, console),
        await DaemonClient.connect(data, hello, tools=_act(console)) as client,
    ):
        names = {character.npc_id: character.name for character in client.welcome.characters}
        if npc_id not in names:
            raise UnknownNpc(
                f"There is no character {npc_id!r} in this world.", remedy=f"Choose one of: {', '.join(names)}."
            )
        await client.send(m.Attend(npc_id=npc_id))
        said: list[ReceivedVoice] = []
        for question in questions:
            said += await _turn(client, npc_id, names[npc_id], question, timeline, console)
        if out is not None and said:
            clip = Clip(b"".join(stream.clip.pcm for stream in said), said[0].clip.rate)
            write_wav(out, clip)
            console.print(
                f"[dim]voice[/]     {out}: {clip.duration_s:.2f} s, {clip.rate} Hz, {rms_dbfs(clip.pcm):.1f} dBFS"
            )


async def _turn(
    client: DaemonClient, npc_id: str, name: str, question: Question, timeline: bool, console: Console
) -> list[ReceivedVoice]:
    """Ask one question, print the reply, and return its voice streams."""
    before = set(client.streams)
    asking = asyncio.create_task(_ask(client, npc_id, question, console))
    answering = asyncio.create_task(_show_answer(client, name, console))
    try:
        async with asyncio.timeout(TURN_TIMEOUT_S):
            # An error of asking (no microphone) must end the wait, and a reply may come before asking ends (an open
            # microphone never ends by itself).
            while not answering.done():
                await asyncio.wait(
                    {asking, answering} if not asking.done() else {answering}, return_when="FIRST_COMPLETED"
                )
                if asking.done():
                    asking.result()
            marks = answering.result()
    except TimeoutError:
        raise DaemonError(f"No reply came within {TURN_TIMEOUT_S:.0f} s.", remedy="See the daemon's log.") from None
    finally:
        for task in (asking, answering):
            task.cancel()
        await asyncio.gather(asking, answering, return_exceptions=True)
    voices = [stream for number, stream in client.streams.items() if number not in before]
    for voice in voices:
        console.print(f"[dim]visemes[/]   {_mouth(voice)}")
    if timeline and marks:
        console.print(waterfall(marks))
    return voices


async def _ask(client: DaemonClient, npc_id: str, question: Question, console: Console) -> None:
    """Send the question to the daemon; a microphone stays open until cancelled."""
    if question.from_microphone:
        console.print("[dim]player[/]    speak now …")
        async with contextlib.aclosing(microphone()) as blocks:
            await client.listen(npc_id, blocks)
    elif question.clip is not None:
        console.print(f"[dim]player[/]    [i]speaks for {question.clip.duration_s:.1f} s[/] {question.text}")
        await client.speak(npc_id, question.clip)
    else:
        console.print(f"[dim]player[/]    {question.text}")
        await client.send(m.TextInput(npc_id=npc_id, text=question.text))


async def _show_answer(client: DaemonClient, name: str, console: Console) -> Mapping[str, float]:
    """Print the daemon's messages until the turn is over; return the turn's marks."""
    shown = ""
    async for message in client.events():
        match message:
            case m.ASRPartial(text=text) if text != shown:
                shown = text
                console.print(f"[dim]  hears   {text}[/]")
            case m.ASRFinal(text=text, confidence=confidence):
                console.print(f"[dim]  heard[/]   [bold]{text or '(nothing)'}[/] [dim]{confidence:.2f}[/]")
            case m.ToolCall():
                console.print(f"[dim]  acts[/]    [green]{message.name}[/] {message.arguments}")
            case m.Busy(reason=reason):
                console.print(f"[yellow]  busy    {reason}[/]")
            case m.Error():
                console.print(f"[red]  error   {message.code}: {message.message}[/] {message.remedy}")
            case m.TurnTimeline():
                console.print(f"[bold]{name}[/]: {message.reply or '[dim](says nothing)[/]'}")
                if message.played != message.reply:
                    console.print(f"[dim]  played  {message.played}[/]")
                return message.marks
    raise DaemonUnreachable("The daemon closed the connection during the turn.", remedy="See the daemon's log.")


def _act(console: Console) -> Callable[[m.ToolCall], asyncio.Future[m.Ack]]:
    """Return a tool handler that accepts every call and prints its `Ack`."""

    async def carry_out(call: m.ToolCall) -> m.Ack:
        console.print(f"[dim]  game[/]    ack {call.call_id} ok")
        return m.Ack(call_id=call.call_id, turn_id=call.turn_id, status="ok")

    return lambda call: asyncio.ensure_future(carry_out(call))


def _mouth(voice: ReceivedVoice) -> str:
    """Return the visemes of a stream in one line."""
    shapes = " ".join(OVR15[event.code] for event in voice.visemes[:24])
    more = len(voice.visemes) - 24
    seconds = ms_of(len(voice.clip.pcm) // 2, voice.clip.rate) / 1000
    return f"{shapes}{f' … {more} more' if more > 0 else ''} [dim]({len(voice.visemes)} over {seconds:.2f} s)[/]"


def waterfall(marks: Mapping[str, float], width: int = 56) -> Table:
    """Return a turn's marks as a table: a row for each span, in milliseconds after the player's last voiced sample."""
    rows = [row for row in spans(marks) if row[0] not in ("speech_start",)]
    first = min((start for _, start, _ in rows), default=0.0)
    # Speech and a long playback would compress the latency part: start shortly before the end of speech.
    left = max(first, -200.0)
    audible = marks.get("first_audible", marks.get("playback_started", 0.0))
    right = max(audible + 150.0, left + 1.0)
    table = Table(title="the turn, in ms after the player's last word", title_justify="left", box=None, pad_edge=False)
    table.add_column("mark", style="bold")
    table.add_column("at", justify="right")
    table.add_column("took", justify="right", style="dim")
    table.add_column("")
    for index, (name, start, end) in enumerate(rows):
        cells = [round((min(max(at, left), right) - left) / (right - left) * width) for at in (start, end)]
        bar = Text(" " * cells[0]) + Text("━" * max(1, cells[1] - cells[0]), STAGE_COLOURS[index % len(STAGE_COLOURS)])
        if end > right:
            bar.append("▶")
        table.add_row(name, f"{end:.0f}", f"{end - start:.0f}", bar)
    return table


def question_from_wav(file: Path) -> Question:
    """Read a question from a sound file. Raises AudioError."""
    return Question(text=f"({file.name})", clip=read_wav(file))


def explain(error: MythicError, console: Console) -> None:
    """Print an error with its remedy."""
    # Soft wrap keeps paths in one piece for copying; Text keeps brackets in them from being markup.
    console.print(Text.assemble((type(error).__name__, "bold red"), f": {error.what}"), soft_wrap=True)
    if error.remedy:
        console.print(Text(f"  {error.remedy}"), soft_wrap=True)
