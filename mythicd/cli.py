"""The command line: `mythicd run`, `mythicd talk`, and the commands of mythicd/authoring/commands.py."""

from __future__ import annotations

import argparse
import asyncio
import logging
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from mythicd import __version__
from mythicd.authoring.commands import add_commands
from mythicd.client.terminal import argument_text, run_until_interrupted, tolerate_encodings
from mythicd.errors import BadMessage, MythicError
from mythicd.paths import data_dir
from mythicd.wire import codec
from mythicd.wire.messages import Hello

# What a command needs is imported when it runs: `mythicd --help` must not wait for it.


def parser() -> argparse.ArgumentParser:
    """Return the parser for everything after `mythicd`."""
    top = argparse.ArgumentParser(prog="mythicd", description="Talking characters for games, on your own machine.")
    top.add_argument("--version", action="version", version=f"mythicd {__version__}")
    commands = top.add_subparsers(dest="command", required=True)

    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--data", type=Path, default=None, metavar="DIR", help="data dir (default: this user's)")
    shared.add_argument("--profile", help="name of a profile, such as starter, or a path")
    shared.add_argument("--world", help="name of a folder under worlds/, or a path")

    run = commands.add_parser("run", parents=[shared], help="run the daemon until it gets SIGINT or SIGTERM")
    run.add_argument("--headless", action="store_true", help="run without a display and audio device")
    run.add_argument("--port", type=int, help="listen on this port of 127.0.0.1 and no other (0: any)")
    run.add_argument("--log", default="info", choices=("debug", "info", "warning", "error"), help="log level")
    run.set_defaults(handler=_run)

    talk = commands.add_parser(
        "talk", parents=[shared], help="talk to a character from the terminal: type line by line, or ask once"
    )
    talk.add_argument("npc", help="id of the character, such as barkeep_01")
    asks = talk.add_mutually_exclusive_group()
    asks.add_argument("--text", action="append", metavar="WORDS", help="type to the character (repeatable)")
    asks.add_argument("--say", action="append", metavar="WORDS", help="speak in a synthetic voice (repeatable)")
    asks.add_argument("--wav", action="append", type=Path, metavar="FILE", help="play a recording (repeatable)")
    asks.add_argument("--mic", action="store_true", help="speak into the microphone")
    talk.add_argument(
        "--sound", action=argparse.BooleanOptionalAction, help="play the voice (default: where a sound device works)"
    )
    talk.add_argument("--out", type=Path, metavar="FILE", help="write the character's voice to this wav file")
    talk.add_argument("--timeline", action="store_true", help="print each turn's latency waterfall")
    talk.add_argument("--svg", type=Path, metavar="FILE", help="save the output as an SVG picture")
    talk.add_argument("--player", default="player", help="id of the player, for the character's memory")
    talk.add_argument("--playthrough", default="talk", help="id of the playthrough, for the character's memory")
    talk.set_defaults(handler=_talk)

    add_commands(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 success, 1 a MythicError, 2 wrong usage, 130 Ctrl-C."""
    tolerate_encodings()
    chosen = parser().parse_args(arguments)
    try:
        code: int = chosen.handler(chosen)
        return code
    except MythicError as error:
        from mythicd.client.display import explain

        explain(error, Console(stderr=True, highlight=False))
        return 1
    except KeyboardInterrupt:
        return 130


def _run(chosen: argparse.Namespace) -> int:
    from mythicd.server.daemon import run

    logging.basicConfig(
        level=chosen.log.upper(), format="%(asctime)s %(levelname)-7s %(name)s: %(message)s", stream=sys.stderr
    )
    logging.getLogger("gguf").setLevel(logging.WARNING)  # it reports the byte order of each file that it writes
    overrides = {key: value for key in ("profile", "world") if (value := getattr(chosen, key)) is not None}
    server = {} if chosen.port is None else {"server": {"port": chosen.port}}
    return asyncio.run(run(chosen.data or data_dir(), {**overrides, **server}))


def _talk(chosen: argparse.Namespace) -> int:
    from mythicd.client import talk
    from mythicd.client.daemon_process import DaemonStopped

    hello = _hello(chosen.player, chosen.playthrough)
    questions: list[talk.Question] | None = None
    if chosen.mic:
        questions = [talk.Question(from_microphone=True)]
    elif chosen.wav:
        questions = [talk.question_from_wav(file) for file in chosen.wav]
    elif chosen.say:
        said = [argument_text(text) for text in chosen.say]
        questions = [talk.Question(text=text, clip=talk.synthesise(text)) for text in said]
    elif chosen.text:
        questions = [talk.question_from_text(argument_text(text)) for text in chosen.text]
    console = Console(highlight=False, record=chosen.svg is not None)
    try:
        succeeded = run_until_interrupted(
            talk.talk(
                chosen.npc,
                questions,
                data=chosen.data or data_dir(),
                hello=hello,
                wanted={key: value for key in ("profile", "world") if (value := getattr(chosen, key))},
                daemon_arguments=["--log", "warning"],
                out=chosen.out,
                timeline=chosen.timeline,
                sound=chosen.sound,
                console=console,
            )
        )
    except DaemonStopped:
        return 1
    if chosen.svg is not None:
        _save_picture(console.export_svg(title=f"mythicd talk {chosen.npc}"), chosen.svg)
    return 0 if succeeded else 1


def _hello(player: str, playthrough: str) -> Hello:
    """Return the first message of `mythicd talk`. Raises BadMessage when an id is invalid."""
    hello = Hello(game="talk", world="default", player=player, playthrough=playthrough, client=f"talk {__version__}")
    try:
        codec.decode_client(codec.encode(hello))
    except BadMessage as error:
        raise BadMessage(error.what.replace("Hello: `", "`--"), remedy=error.remedy) from None
    return hello


def _save_picture(picture: str, file: Path) -> None:
    # The picture must not load fonts from the network: the viewer's monospaced font is used.
    plain = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)
    try:
        file.write_text(plain, encoding="utf-8", errors="replace")
    except OSError as error:
        raise MythicError(f"Cannot write {file}: {error.strerror}.", remedy="Choose another place for --svg.") from None
