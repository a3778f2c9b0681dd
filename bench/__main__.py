"""`python -m bench NAME [--quick]`."""

from __future__ import annotations

import argparse
import sys

from bench import turn

BENCHES = {"turn": turn.run}


def main() -> int:
    """Run one benchmark; return its exit code."""
    parser = argparse.ArgumentParser(prog="bench", description="Measure Mythic.")
    parser.add_argument("name", choices=BENCHES)
    parser.add_argument("--quick", action="store_true", help="fewer rounds: done within 55 s")
    chosen = parser.parse_args()
    return BENCHES[chosen.name](quick=chosen.quick)


if __name__ == "__main__":
    sys.exit(main())
