"""The commands `mythicd import` and `mythicd world`: arguments, and what is printed."""

from __future__ import annotations

import argparse
import json
import sys
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from mythicd.paths import data_dir, find

if TYPE_CHECKING:
    from mythicd.authoring.world_check import WorldCheck
    from mythicd.config.yaml_reader import FileProblem

# What the commands do is imported when one runs: `mythicd --help` must not wait for it.


def add_commands(subparsers: Any) -> None:
    """Add `import` and `world` to the parser of `mythicd`. Each sets `handler`, which returns the exit code and raises
    MythicError."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--data", type=Path, default=None, metavar="DIR", help="data dir (default: this user's)")

    card = subparsers.add_parser(
        "import", parents=[shared], help="import a character card, lorebook or Mantella file into a world"
    )
    card.add_argument("card", type=Path, metavar="CARD", help="PNG, JSON or CSV file")
    card.add_argument("--world", metavar="DIR", help="name or folder of the world (default: the current folder)")
    card.add_argument("--npc-id", default="", metavar="ID", help="id of the character (default: made of its name)")
    card.add_argument("--zone", default="", metavar="ZONE", help="where it is, and whose characters know its lore")
    card.add_argument("--name", default="", metavar="NAME", help="import only this one of a file's characters")
    card.add_argument("--force", action="store_true", help="overwrite files that exist")
    card.set_defaults(handler=run_import)

    world = subparsers.add_parser("world", help="check a world's files, or make a new world")
    verbs = world.add_subparsers(dest="verb", required=True)
    check = verbs.add_parser("check", parents=[shared], help="report every mistake in a world's files")
    check.add_argument("world", metavar="DIR", help="name or folder of the world")
    check.add_argument("--json", action="store_true", help="print the findings as JSON")
    check.set_defaults(handler=run_check)
    new = verbs.add_parser("new", parents=[shared], help="make a small world that runs at once")
    new.add_argument("name", metavar="NAME", help="name of the world, and of its folder")
    new.add_argument("--dir", type=Path, default=None, metavar="DIR", help="where to make it (default: worlds/)")
    new.set_defaults(handler=run_new)


def run_import(arguments: argparse.Namespace) -> int:
    """Run `mythicd import`. Raises ConfigError."""
    from mythicd.authoring.importer import ImportRequest, import_file

    world = _world(arguments.world, arguments.data) if arguments.world else Path.cwd()
    result = import_file(
        ImportRequest(arguments.card, world, arguments.npc_id, arguments.zone, arguments.name, arguments.force)
    )
    console = _console()
    _line(console, f"{arguments.card.name}: {result.format}", "bold")
    for file, what in result.files.items():
        _line(console, f"  wrote {file}  ({what})", "green")
    for note in result.notes:
        _line(console, f"  note: {note}")
    if result.left_out:
        _line(console, "Not taken:", "bold")
        for each in result.left_out:
            _line(console, f"  {each.place}: {each.why}.")
    _line(console, "Next:", "bold")
    _line(console, f"  mythicd world check {_quoted(world)}")
    for npc_id in result.npc_ids[:1]:
        _line(console, f"  mythicd talk {npc_id} --world {_quoted(world)}")
    return 0


def run_check(arguments: argparse.Namespace) -> int:
    """Run `mythicd world check`: exit code 0 without mistakes, 1 with some. Raises ConfigError if there is no world."""
    from mythicd.authoring.world_check import check_world

    result = check_world(_world(arguments.world, arguments.data))
    if arguments.json:
        sys.stdout.write(json.dumps(result.as_json(), indent=2) + "\n")
    else:
        _print_check(result, _console())
    return 1 if result.mistakes else 0


def run_new(arguments: argparse.Namespace) -> int:
    """Run `mythicd world new`. Raises ConfigError."""
    from mythicd.authoring.new_world import NPC_ID, default_parent, new_world

    path = new_world(arguments.name, arguments.dir or default_parent(arguments.data or data_dir()))
    console = _console()
    _line(console, f"Made a world in {path}", "green")
    _line(console, "Next:", "bold")
    _line(console, f"  mythicd talk {NPC_ID} --world {_quoted(path)}")
    _line(console, f"  mythicd world check {_quoted(path)}")
    return 0


def _world(name: str, data: Path | None) -> Path:
    """Return the folder of a world given by name or path. Raises ConfigError."""
    given = Path(name)
    return given if given.is_dir() else find("worlds", name, data or data_dir())


def _print_check(result: WorldCheck, console: Console) -> None:
    for title, problems, colour in (("Mistakes", result.mistakes, "red"), ("Notices", result.notices, "yellow")):
        if not problems:
            continue
        _line(console, f"{title} ({len(problems)})", f"bold {colour}")
        for file, own in groupby(problems, key=lambda each: each.file):
            _line(console, f"  {result.shown(file)}", "bold")
            for problem in own:
                _line(console, f"    {_where(problem)}{problem.complaint}.")
                if problem.remedy:
                    _line(console, f"      {problem.remedy}", "dim")
    if not result.mistakes:
        _line(console, f"{result.path}: no mistakes.", "green")


def _where(problem: FileProblem) -> str:
    at = f"line {problem.line}" if problem.line else ""
    if at and problem.column:
        at += f", column {problem.column}"
    return "".join(f"{part}: " for part in (at, problem.place) if part)


def _console() -> Console:
    return Console(highlight=False, soft_wrap=True)


def _line(console: Console, text: str, style: str = "") -> None:
    """Print a line as it is: brackets in it are not markup, and what the terminal cannot show is replaced."""
    encoding = console.encoding or "utf-8"
    shown = "".join(letter if letter.isprintable() else "�" for letter in text)
    console.print(Text(shown.encode(encoding, "replace").decode(encoding), style), soft_wrap=True)


def _quoted(path: Path) -> str:
    text = str(path)
    return f'"{text}"' if " " in text else text
