"""The command line: `mythicd run` and `mythicd talk`."""

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
from mythicd.errors import MythicError
from mythicd.paths import data_dir
from mythicd.wire.messages import Hello


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
    run.add_argument("--port", type=int, help="port on 127.0.0.1 (0: any)")
    run.add_argument("--log", default="info", choices=("debug", "info", "warning", "error"), help="log level")

    talk = commands.add_parser("talk", parents=[shared], help="talk to a character from the terminal")
    talk.add_argument("npc", help="id of the character, such as barkeep_01")
    asks = talk.add_mutually_exclusive_group(required=True)
    asks.add_argument("--text", action="append", metavar="WORDS", help="type to the character (repeatable)")
    asks.add_argument("--say", action="append", metavar="WORDS", help="speak in a synthetic voice (repeatable)")
    asks.add_argument("--wav", action="append", type=Path, metavar="FILE", help="play a recording (repeatable)")
    asks.add_argument("--mic", action="store_true", help="speak into the microphone")
    talk.add_argument("--out", type=Path, metavar="FILE", help="write the character's voice to this wav file")
    talk.add_argument("--timeline", action="store_true", help="print each turn's latency waterfall")
    talk.add_argument("--svg", type=Path, metavar="FILE", help="save the output as an SVG picture")
    talk.add_argument("--player", default="player", help="id of the player, for the character's memory")
    talk.add_argument("--playthrough", default="talk", help="id of the playthrough, for the character's memory")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 success, 1 a MythicError, 2 wrong usage, 130 Ctrl-C."""
    chosen = parser().parse_args(arguments)
    console = Console(stderr=True, highlight=False)
    data: Path = chosen.data or data_dir()
    try:
        if chosen.command == "run":
            return _run(chosen, data)
        return _talk(chosen, data)
    except MythicError as error:
        from mythicd.client.talk import explain

        explain(error, console)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(chosen: argparse.Namespace, data: Path) -> int:
    from mythicd.server.daemon import run

    logging.basicConfig(
        level=chosen.log.upper(), format="%(asctime)s %(levelname)-7s %(name)s: %(message)s", stream=sys.stderr
    )
    overrides = {key: value for key in ("profile", "world") if (value := getattr(chosen, key)) is not None}
    server = {} if chosen.port is None else {"server": {"port": chosen.port}}
    return asyncio.run(run(data, {**overrides, **server}))


def _talk(chosen: argparse.Namespace, data: Path) -> int:
    from mythicd.client import talk

    if chosen.mic:
        questions = [talk.Question(from_microphone=True)]
    elif chosen.wav:
        questions = [talk.question_from_wav(file) for file in chosen.wav]
    elif chosen.say:
        questions = [talk.Question(text=text, clip=talk.synthesise(text)) for text in chosen.say]
    else:
        questions = [talk.Question(text=text) for text in chosen.text]
    passed_on = [
        part for key in ("profile", "world") if (value := getattr(chosen, key)) for part in (f"--{key}", str(value))
    ]
    hello = Hello(
        game="talk", world="default", player=chosen.player, playthrough=chosen.playthrough, client=f"talk {__version__}"
    )
    console = Console(highlight=False, record=chosen.svg is not None)
    asyncio.run(
        talk.talk(
            chosen.npc,
            questions,
            data=data,
            hello=hello,
            daemon_arguments=[*passed_on, "--log", "warning"],
            out=chosen.out,
            timeline=chosen.timeline,
            console=console,
        )
    )
    if chosen.svg is not None:
        picture = console.export_svg(title=f"mythicd talk {chosen.npc}")
        # The picture must not load fonts from the network: the viewer's monospaced font is used.
        chosen.svg.write_text(re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL), encoding="utf-8")
    return 0
