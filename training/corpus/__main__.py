"""Print samples: `python -m training.corpus --seed 1 --worlds 2 --blocks 3`."""

from __future__ import annotations

import argparse
from random import Random

from training.corpus.dialogue import conversation


def main() -> None:
    """Show what the model is trained on, as it sees it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="same seed, same text")
    parser.add_argument("--worlds", type=int, default=1, help="system messages to show")
    parser.add_argument("--blocks", type=int, default=3, help="blocks of questions behind each")
    options = parser.parse_args()
    rng = Random(options.seed)
    for _ in range(options.worlds):
        system, episodes = conversation(rng)
        print(system)
        for _, made in zip(range(options.blocks), episodes, strict=False):
            print(made.front)
            for question in made.questions:
                print(f"--- {question.turn.sort}\n{question.prompt}{question.reply}\n")


if __name__ == "__main__":
    main()
