"""What `mythicd talk` prints: the daemon's messages, visemes, a turn's latency waterfall, and errors."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mythicd.audio.pcm import ms_of
from mythicd.client.daemon_client import ReceivedVoice
from mythicd.errors import MythicError
from mythicd.telemetry.timeline import spans
from mythicd.wire import messages as m
from mythicd.wire.frames import OVR15

STAGE_COLOURS = ("cyan", "blue", "magenta", "green", "yellow", "red")
LABEL_WIDTH = 10


class Display:
    """Prints a conversation. Texts of others are never read as markup."""

    def __init__(self, console: Console, name: str) -> None:
        """`name` is the character's."""
        self._console = console
        self._name = name
        self._partial = ""

    def line(self, label: str, *parts: str | tuple[str, str]) -> None:
        """Print a labelled line; a part may have a style."""
        text = Text.assemble((label.ljust(LABEL_WIDTH), "dim"), *parts)
        # Lines stay whole in a pipe; a recorded picture has a fixed width.
        self._console.print(text, soft_wrap=not self._console.record)

    def show(self, message: m.ServerMessage) -> None:
        """Print a message of the daemon, if it is one to see."""
        match message:
            case m.Status(profile=profile, profile_reason=reason):
                engines = f"{message.asr}, {message.llm}, {message.tts}"
                self.line("profile", (profile, "bold"), f" ({engines}) ", (reason, "dim"))
            case m.ASRPartial(text=text) if text != self._partial:
                self._partial = text
                self.line("  hears", (text, "dim"))
            case m.ASRFinal(text=text, confidence=confidence):
                if text:
                    self.line("  heard", (text, "bold"), (f" {confidence:.2f}", "dim"))
                else:
                    self.heard_nothing()
            case m.ToolCall():
                self.line("  acts", (message.name, "green"), f" {message.arguments}")
            case m.Busy(reason=reason):
                self.line("  busy", (reason, "yellow"))
            case m.Error():
                self.line("  error", (f"{message.code}: {message.message}", "red"), f" {message.remedy}")
            case m.TurnTimeline():
                reply = message.reply or ("(says nothing)", "dim")
                spoken = Text.assemble((self._name, "bold"), ": ", reply)
                self._console.print(spoken, soft_wrap=not self._console.record)
                if message.played != message.reply:
                    self.line("  played", (message.played, "dim"))

    def heard_nothing(self) -> None:
        """Say that there were no words to answer."""
        self.line("", ("heard nothing", "dim"))

    def prompt(self) -> None:
        """Ask for a line."""
        self._console.print("> ", end="")

    def voice(self, voice: ReceivedVoice) -> None:
        """Print the visemes of a voice stream in one line."""
        shapes = " ".join(OVR15[event.code] for event in voice.visemes[:24])
        more = len(voice.visemes) - 24
        seconds = ms_of(len(voice.clip.pcm) // 2, voice.clip.rate) / 1000
        rest = f" … {more} more" if more > 0 else ""
        self.line("visemes", f"{shapes}{rest} ", (f"({len(voice.visemes)} over {seconds:.2f} s)", "dim"))

    def waterfall(self, marks: Mapping[str, float]) -> None:
        """Print where the time of a turn went."""
        self._console.print(waterfall(marks))

    def error(self, error: MythicError) -> None:
        """Print an error with its remedy."""
        explain(error, self._console)


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


def explain(error: MythicError, console: Console) -> None:
    """Print an error with its remedy."""
    # Soft wrap keeps paths in one piece for copying; Text keeps brackets in them from being markup.
    console.print(Text.assemble((type(error).__name__, "bold red"), f": {error.what}"), soft_wrap=True)
    if error.remedy:
        console.print(Text(f"  {error.remedy}"), soft_wrap=True)
