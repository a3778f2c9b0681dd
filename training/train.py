"""The training of the starter model: `python -m training.train --run first`; the same command resumes.

SIGINT and SIGTERM end it with a checkpoint. The learning rate is constant and then falls linearly to 0 over the last
`--cooldown` steps, so before that a run may be extended, or its data fixed, at any checkpoint.
"""

from __future__ import annotations

import argparse
import csv
import os
import signal
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from training.batches import MATCHING, Batch, BatchShape, make_batch
from training.circuit import set_induction
from training.model import Shape, StarterModel
from training.tokenizer import load

RUNS = Path(__file__).parent / "runs"
_LOG_EVERY = 50
_WARMUP = 100
_SORTS = (
    "fact",
    "unknown",
    "refuse",
    "harmless",
    "tool",
    "talk",
    "scene",
    "memory",
    "past",
    "self",
    MATCHING,
)


def learning_rate_share(step: int, steps: int, cooldown: int, began: int = 0) -> float:
    """Return the share of the full learning rate at a step of a run that `began` at the end of another one."""
    return max(0.0, min(1.0, (step - began + 1) / _WARMUP, (steps - step) / max(1, cooldown)))


@dataclass(slots=True)
class Trainer:
    """The model and its optimisers: Muon for matrices inside the blocks, AdamW for the embedding and norms."""

    model: StarterModel
    muon: torch.optim.Optimizer
    adam: torch.optim.Optimizer
    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    began: int = 0
    """Step at which this run continued from another one's checkpoint."""
    rates: dict[int, float] = field(default_factory=dict)

    @classmethod
    def fresh(cls, shape: Shape, seed: int, muon_rate: float, adam_rate: float) -> Trainer:
        """Return an untrained model with its copying circuit."""
        torch.manual_seed(seed)
        model = StarterModel(shape)
        set_induction(model)
        named = list(model.named_parameters())
        matrices = [p for n, p in named if p.dim() == 2 and "embedding" not in n]
        others = [p for n, p in named if not (p.dim() == 2 and "embedding" not in n)]
        muon = torch.optim.Muon(matrices, lr=muon_rate, momentum=0.95, weight_decay=0.01)
        adam = torch.optim.AdamW(others, lr=adam_rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
        return cls(model, muon, adam, rates={id(muon): muon_rate, id(adam): adam_rate})

    def save(self, path: Path) -> None:
        """Write a checkpoint, atomically."""
        state = {
            "shape": self.model.shape.as_dict(),
            "model": self.model.state_dict(),
            "muon": self.muon.state_dict(),
            "adam": self.adam.state_dict(),
            "step": self.step,
            "tokens": self.tokens,
            "seconds": self.seconds,
            "began": self.began,
        }
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        os.replace(partial, path)

    def restore(self, path: Path) -> None:
        """Load a checkpoint."""
        state: dict[str, Any] = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.muon.load_state_dict(state["muon"])
        self.adam.load_state_dict(state["adam"])
        self.step, self.tokens, self.seconds = state["step"], state["tokens"], state["seconds"]
        self.began = state.get("began", 0)

    def set_share(self, share: float) -> None:
        """Scale both learning rates."""
        for optimiser in (self.muon, self.adam):
            for group in optimiser.param_groups:
                group["lr"] = self.rates[id(optimiser)] * share


@dataclass(slots=True)
class Meter:
    """The averages of one line of the log."""

    losses: list[float] = field(default_factory=list)
    hits: list[float] = field(default_factory=list)
    firsts: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))

    def add(self, batch: Batch, loss: float, best: np.ndarray[Any, Any]) -> None:
        """Count a step."""
        right = best == batch.labels
        self.losses.append(loss)
        self.hits.append(float(right[batch.weights > 0].mean()))
        for at, sort in batch.firsts:
            self.firsts[sort].append(bool(right[at]))

    def row(self) -> list[str]:
        """Return loss, token accuracy, and first-token accuracy for each sort of turn."""
        by_sort = [f"{np.mean(self.firsts[sort]):.3f}" if self.firsts[sort] else "" for sort in _SORTS]
        return [f"{np.mean(self.losses):.4f}", f"{np.mean(self.hits):.4f}", *by_sort]


def main() -> None:
    """Train until the last step, with checkpoints and logs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--run", default="first", help="name of the folder under training/runs")
    parser.add_argument("--after", default="", help="run whose checkpoint a new run begins with, warming up again")
    parser.add_argument("--steps", type=int, default=12_000, help="steps in all, the cooldown included")
    parser.add_argument("--cooldown", type=int, default=3_000, help="last steps, with falling learning rate")
    parser.add_argument("--seed", type=int, default=1, help="of the weights and the data")
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--muon-rate", type=float, default=0.01)
    parser.add_argument("--adam-rate", type=float, default=2e-3)
    parser.add_argument("--copying", type=float, default=0.06, help="share of rows that are copy drills")
    parser.add_argument("--matching", type=float, default=0.06, help="share of rows that are pointing drills")
    parser.add_argument("--save-every", type=float, default=150.0, help="seconds between checkpoints")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    folder = RUNS / options.run
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "checkpoint.pt"
    tokenizer = load()
    shape = Shape(vocabulary=tokenizer.get_vocab_size(), layers=options.layers)
    trainer = Trainer.fresh(shape, options.seed, options.muon_rate, options.adam_rate)
    if checkpoint.exists():
        trainer.restore(checkpoint)
    elif options.after:
        trainer.restore(RUNS / options.after / "checkpoint.pt")
        trainer.began = trainer.step
    print(
        f"{sum(p.numel() for p in trainer.model.parameters()):,} parameters, from step {trainer.step}",
        flush=True,
    )
    loss_of = torch.compile(trainer.model.loss, dynamic=False)
    batch_shape = BatchShape()
    meter = Meter()
    log = folder / "log.csv"
    fresh_log = not log.exists()
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    began = saved = time.monotonic()
    before = trainer.seconds
    with log.open("a", newline="") as file:
        writer = csv.writer(file)
        if fresh_log:
            writer.writerow(["step", "tokens", "seconds", "rate", "loss", "accuracy", *_SORTS])
        while trainer.step < options.steps and not stopping.is_set():
            batch = make_batch(tokenizer, batch_shape, options.seed, trainer.step, options.copying, options.matching)
            trainer.set_share(learning_rate_share(trainer.step, options.steps, options.cooldown, trainer.began))
            tensors = [torch.from_numpy(array) for array in batch.arrays()]
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss, best = loss_of(*tensors)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trainer.model.parameters(), 1.0)
            for optimiser in (trainer.muon, trainer.adam):
                optimiser.step()
                optimiser.zero_grad(set_to_none=True)
            trainer.step += 1
            trainer.tokens += batch.ids.size
            trainer.seconds = before + time.monotonic() - began
            meter.add(batch, loss.item(), best.numpy())
            if trainer.step % _LOG_EVERY == 0:
                share = learning_rate_share(trainer.step, options.steps, options.cooldown, trainer.began)
                row = [
                    str(trainer.step),
                    str(trainer.tokens),
                    f"{trainer.seconds:.0f}",
                    f"{share:.3f}",
                    *meter.row(),
                ]
                writer.writerow(row)
                file.flush()
                print(" ".join(row), flush=True)
                meter = Meter()
            if time.monotonic() - saved > options.save_every:
                trainer.save(checkpoint)
                saved = time.monotonic()
    trainer.save(checkpoint)


if __name__ == "__main__":
    main()
