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
    shared.add_argument("--profile", help="profile to run with, such as starter")
    shared.add_argument("--world", help="name of a folder under worlds/, or a path")

    run = commands.add_parser("run", parents=[shared], help="run the daemon until it is told to stop")
    run.add_argument("--headless", action="store_true", help="no tray icon; needs no display and no audio device")
    run.add_argument("--port", type=int, help="port on 127.0.0.1 (0: any)")
    run.add_argument("--log", default="info", choices=("debug", "info", "warning", "error"), help="how much to log")

    talk = commands.add_parser("talk", parents=[shared], help="talk to a character from the terminal")
    talk.add_argument("npc", help="id of the character, such as barkeep_01")
    asks = talk.add_mutually_exclusive_group(required=True)
    asks.add_argument("--text", action="append", metavar="WORDS", help="type to the character (may be repeated)")
    asks.add_argument("--say", action="append", metavar="WORDS", help="speak to it in a synthetic voice (repeatable)")
    asks.add_argument("--wav", action="append", type=Path, metavar="FILE", help="speak a recording to it (repeatable)")
    asks.add_argument("--mic", action="store_true", help="speak to it yourself")
    talk.add_argument("--out", type=Path, metavar="FILE", help="write its voice to this wav")
    talk.add_argument("--timeline", action="store_true", help="print each turn's waterfall")
    talk.add_argument("--svg", type=Path, metavar="FILE", help="save what is printed as a picture")
    talk.add_argument("--player", default="player", help="who you are, for its memory")
    talk.add_argument("--playthrough", default="talk", help="which story this belongs to, for its memory")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit code: 0 done, 1 failed with a message, 2 wrong usage."""
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
        # A picture that lies in a repository fetches nothing: the viewer's own monospaced font will do.
        chosen.svg.write_text(re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL), encoding="utf-8")
    return 0
