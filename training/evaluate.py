"""The evaluation of a GGUF: `python -m training.evaluate --set dev`. Prints each group with its 95 % interval (Wilson).

`--set sealed2` is for the final model: it never prints a failure, so that no change can be tuned to it. The set before
it, `sealed`, was used for the first model.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter, defaultdict
from pathlib import Path

from training.answer import Answerer
from training.exam import SETS, TOOL_SPECS, Examiner, call_of, goes_on

DEFAULT_MODEL = Path(__file__).parent.parent / "mythicd" / "assets" / "starter.gguf"
_Z = 1.96


def interval(right: int, count: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share."""
    share = right / count
    middle = share + _Z**2 / (2 * count)
    spread = _Z * math.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2))
    scale = 1 + _Z**2 / count
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def line(name: str, right: int, count: int) -> str:
    """Return one row of the table."""
    low, high = interval(right, count) if count else (0.0, 1.0)
    return f"{name:<34}{right:>5}/{count:<5}{100 * right / max(1, count):5.1f} %   [{100 * low:.0f}, {100 * high:.0f}]"


def main() -> None:
    """Ask every question and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--set", choices=SETS, default="dev")
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--failures", action="store_true", help="print every failure (dev only)")
    options = parser.parse_args()
    if options.failures and options.set.startswith("sealed"):
        parser.error("a sealed set's failures are not for reading")
    answerer = Answerer(options.model, options.threads)
    verdicts: dict[str, Counter[str]] = defaultdict(Counter)
    calls: Counter[bool] = Counter()
    followed: Counter[bool] = Counter()
    for question in Examiner(options.set, options.seed).questions():
        reply = answerer.reply(question.prompt, TOOL_SPECS)
        verdict = question.judge(reply)
        verdicts[question.group][verdict] += 1
        if "<tool_call>" in reply:
            calls[call_of(reply) is not None] += 1
            followed[goes_on(reply)] += 1
        if options.failures and verdict != "right":
            print(f"[{question.group}: {verdict}] {question.words!r} wanted {question.wanted!r}\n    {reply!r}")
    answerer.close()
    print(f"{options.model.name}, {options.set} set, greedy")
    for group, counted in verdicts.items():
        print(line(group, counted["right"], counted.total()))
    answerable = [counted for group, counted in verdicts.items() if group.startswith(("fact", "harmless"))]
    asked = sum(counted.total() for counted in answerable)
    print("of all questions that the lore answers:")
    for name, verdict in (
        ("  false don't-know", "unknown"),
        ("  false refusal", "refused"),
        ("  wrong", "wrong"),
    ):
        print(line(name, sum(counted[verdict] for counted in answerable), asked))
    if calls.total():
        print(line("tool calls that are valid JSON", calls[True], calls.total()))
        print(line("tool calls followed by speech", followed[True], followed.total()))


if __name__ == "__main__":
    main()
