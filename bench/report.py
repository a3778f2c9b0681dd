"""Reports: a table, the machine's load during the run, and one line of JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

import psutil
from rich.console import Console
from rich.table import Table


def finish(name: str, table: Table, figures: Mapping[str, float | int | str | None], *, ok: bool) -> int:
    """Print the table, then the JSON line; return the exit code.

    `ok` is whether the targets of the benchmark are met; without targets it is true.
    """
    console = Console(highlight=False, width=110)
    console.print(table)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    console.print(
        f"[dim]{psutil.cpu_count()} CPUs, load {load:.1f}: compare ratios, not milliseconds, between machines[/]"
    )
    line = {"bench": name, "ok": ok, "figures": {**figures, "load_average": round(load, 2)}}
    print(json.dumps(line))
    return 0 if ok else 1
