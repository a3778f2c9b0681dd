"""Training batches of fixed shape, a pure function of (seed, step): resuming needs no saved position."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from training.chat import (
    CONTROL_TOKENS,
    GENERATION_PROMPT,
    TURN_END,
    TURN_START,
    UNKNOWN,
    line_pointer,
    persona_pointer,
    tool_pointer,
)
from training.corpus.dialogue import conversation

POINTER_WEIGHT = 10.0
"""Loss weight of a reply's first token, which decides the reply, relative to a copied one."""
UNKNOWN_WEIGHT = 12.0
"""The same for "I don't know": without it the model tends to quote lore when asked for something that is not told."""
ARGUMENT_WEIGHT = 6.0
"""Loss weight of tool-call tokens."""
AFTER_WEIGHT = 5.0
"""Loss weight of the token after a tool call: whether the reply goes on, and with which sentence."""
MATCHING = "matching"
"""The sort of a pointing drill's questions."""


@dataclass(frozen=True, slots=True)
class BatchShape:
    """Sizes of a batch."""

    rows: int = 6
    time: int = 768
    targets: int = 1088
    """Positions with a loss; further ones are dropped, missing ones are padded with weight 0."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The input of one step."""

    ids: NDArray[np.int64]
    """[rows, time] tokens."""
    positions: NDArray[np.int64]
    """[rows, time] rotary positions: each question starts at the end of what it sees."""
    segments: NDArray[np.int64]
    """[rows, time] 0 for the system message, else the episode's number."""
    branches: NDArray[np.int64]
    """[rows, time] 0 for what the questions of an episode share, else the question's number."""
    places: NDArray[np.int64]
    """[targets] flat indices whose next token is trained."""
    labels: NDArray[np.int64]
    """[targets] those next tokens."""
    weights: NDArray[np.float32]
    """[targets] loss weights."""
    firsts: list[tuple[int, str]]
    """(index into targets, sort of turn) of each reply's first token."""

    def arrays(self) -> tuple[NDArray[Any], ...]:
        """Return the arguments of the loss, in its order."""
        return (
            self.ids,
            self.positions,
            self.segments,
            self.branches,
            self.places,
            self.labels,
            self.weights,
        )


class _Writer:
    """A collector of rows and targets."""

    def __init__(self, shape: BatchShape) -> None:
        self.shape = shape
        self.ids = np.zeros((shape.rows, shape.time), np.int64)
        self.positions = np.zeros((shape.rows, shape.time), np.int64)
        self.segments = np.zeros((shape.rows, shape.time), np.int64)
        self.branches = np.zeros((shape.rows, shape.time), np.int64)
        self.targets: list[tuple[int, int, float]] = []
        self.firsts: list[tuple[int, str]] = []

    def write(self, row: int, start: int, ids: list[int], segment: int, branch: int, position: int) -> None:
        stop = min(self.shape.time, start + len(ids))
        count = max(0, stop - start)
        stop = start + count
        self.ids[row, start:stop] = ids[:count]
        self.positions[row, start:stop] = np.arange(position, position + count)
        self.segments[row, start:stop] = segment
        self.branches[row, start:stop] = branch

    def target(self, row: int, at: int, label: int, weight: float) -> None:
        """Train the token at `at` (absolute in the row) from the position before it."""
        if at < self.shape.time:
            self.targets.append((row * self.shape.time + at - 1, label, weight))

    def finish(self) -> Batch:
        kept = self.targets[: self.shape.targets]
        padded = kept + [(0, 0, 0.0)] * (self.shape.targets - len(kept))
        places, labels, weights = zip(*padded, strict=True)
        return Batch(
            self.ids,
            self.positions,
            self.segments,
            self.branches,
            np.array(places, np.int64),
            np.array(labels, np.int64),
            np.array(weights, np.float32),
            [(at, sort) for at, sort in self.firsts if at < len(kept)],
        )


def _copying_row(writer: _Writer, row: int, vocabulary: int, rng: Random) -> None:
    """Add a copying drill: random tokens, parts of which are repeated."""
    time = writer.shape.time
    ids: list[int] = []
    spans: list[list[int]] = []
    lowest = len(CONTROL_TOKENS)
    budget = writer.shape.targets // writer.shape.rows
    while len(ids) < time:
        if spans and rng.random() < 0.5:
            span = rng.choice(spans)
            for offset, token in enumerate(span):
                if offset and budget:
                    writer.target(row, len(ids) + offset, token, 0.5)
                    budget -= 1
        else:
            span = [rng.randrange(lowest, vocabulary) for _ in range(rng.choice((3, 4, 6, 8, 12, 16)))]
            spans.append(span)
        ids += span
    writer.write(row, 0, ids, 0, 0, rng.randint(0, 400))


def _matching_row(writer: _Writer, row: int, tokenizer: Tokenizer, rng: Random) -> None:
    """Add a pointing drill: lines of random tokens, and many questions of a few tokens of one of them.

    A dialogue asks this of the model at one position in a hundred, the drill at one in ten, without any wording to
    learn.
    """
    vocabulary, lowest = tokenizer.get_vocab_size(), len(CONTROL_TOKENS) + 2
    newline = tokenizer.encode("\n").ids
    # Like "the" and "of" in real lines: the last token alone does not identify the line and the position.
    common = [rng.randrange(lowest, vocabulary) for _ in range(rng.randint(3, 12))]
    pointers: list[int] = []
    lines: list[list[int]] = []
    ids: list[int] = []

    def add_lines(pointer: Callable[[int], str], count: int) -> None:
        for number in range(1, count + 1):
            line = [
                rng.choice(common) if rng.random() < 0.4 else rng.randrange(lowest, vocabulary)
                for _ in range(rng.randint(3, 14))
            ]
            if lines and rng.random() < 0.5:  # shared words do not identify a line
                line[: len(line) // 2] = rng.sample(lines[-1], min(len(lines[-1]), len(line) // 2))
            lines.append(line)
            pointers.append(tokenizer.token_to_id(pointer(number)))
            ids.extend([pointers[-1], *line, *newline])

    if rng.random() < 0.6:
        ids += tokenizer.encode(f"{TURN_START}system\n").ids
        if rng.random() < 0.5:
            ids += tokenizer.encode(" ## tools\n").ids
            add_lines(tool_pointer, rng.randint(1, 6))
        ids += tokenizer.encode(" ## persona\n").ids
        add_lines(persona_pointer, rng.randint(1, 5))
        ids += tokenizer.encode(f"{TURN_END}\n").ids
    ids += tokenizer.encode(f"{TURN_START}user\n ## lore\n").ids
    add_lines(line_pointer, rng.randint(1, 8))
    ids += tokenizer.encode(" ## player\n").ids
    ending = tokenizer.encode(f"\n{TURN_END}\n{GENERATION_PROMPT}").ids
    nothing = tokenizer.token_to_id(UNKNOWN)
    writer.write(row, 0, ids, 1, 0, rng.randint(0, 200))
    at, branch = len(ids), 0
    everywhere = {token for line in lines for token in line}
    while at < writer.shape.time:
        branch += 1
        number = rng.randrange(len(lines))
        own = [t for t in lines[number] if sum(t in line for line in lines) == 1]
        strange = [
            t for t in (rng.randrange(lowest, vocabulary) for _ in range(rng.randint(0, 3))) if t not in everywhere
        ]
        present = bool(own) and rng.random() < 0.8
        asked = rng.sample(own, min(len(own), rng.randint(1, 4))) if present else strange or [lowest]
        if present:
            asked += strange
            rng.shuffle(asked)
        elif asked[0] in everywhere:
            return
        copied = lines[number] if rng.random() < 0.85 else lines[number][:2]
        reply = [pointers[number], *copied] if present else [nothing]
        writer.write(row, at, asked + ending + reply, 1, branch, len(ids))
        at += len(asked) + len(ending)
        if at + len(reply) > writer.shape.time:
            return
        writer.firsts.append((len(writer.targets), MATCHING))
        for offset, token in enumerate(reply):
            writer.target(row, at + offset, token, 0.7 if offset else 2.0)
        at += len(reply)


def _dialogue_row(writer: _Writer, row: int, tokenizer: Tokenizer, rng: Random) -> None:
    """Add a system message and as many episodes as fit after it.

    Neither episodes nor the questions of an episode see one another: each reads as if it were alone.
    """
    system, episodes = conversation(rng)
    head = tokenizer.encode(system).ids
    writer.write(row, 0, head, 0, 0, 0)
    at, segment = len(head), 0
    for made in episodes:
        segment += 1
        front = tokenizer.encode(made.front).ids
        writer.write(row, at, front, segment, 0, len(head))
        at += len(front)
        for branch, question in enumerate(made.questions, 1):
            encoded = tokenizer.encode_batch([question.prompt, question.reply])
            prompt, reply = encoded[0].ids, encoded[1].ids
            writer.write(row, at, prompt + reply, segment, branch, len(head) + len(front))
            at += len(prompt)
            if at + len(reply) <= writer.shape.time:  # an incomplete reply trains nothing
                _reply_targets(writer, row, at, reply, question.turn.sort, tokenizer)
            at += len(reply)
        if at >= writer.shape.time:
            return


def _reply_targets(writer: _Writer, row: int, at: int, reply: list[int], sort: str, tokenizer: Tokenizer) -> None:
    call, close = tokenizer.token_to_id("<tool_call>"), tokenizer.token_to_id("</tool_call>")
    writer.firsts.append((len(writer.targets), sort))
    calling = False
    for offset, token in enumerate(reply):
        calling = (calling or token == call) and token != close
        called = offset > 0 and reply[offset - 1] == close
        if offset == 0:
            weight = UNKNOWN_WEIGHT if sort == "unknown" else POINTER_WEIGHT
        else:
            weight = ARGUMENT_WEIGHT if calling else AFTER_WEIGHT if called else 1.0
        writer.target(row, at + offset, token, weight)


def make_batch(tokenizer: Tokenizer, shape: BatchShape, seed: int, step: int, copying: float, matching: float) -> Batch:
    """Return the batch of a step; `copying` and `matching` are the shares of rows that are drills."""
    rng = Random(f"{seed}:{step}")
    writer = _Writer(shape)
    vocabulary = tokenizer.get_vocab_size()
    for row in range(shape.rows):
        roll = rng.random()
        if roll < copying:
            _copying_row(writer, row, vocabulary, rng)
        elif roll < copying + matching:
            _matching_row(writer, row, tokenizer, rng)
        else:
            _dialogue_row(writer, row, tokenizer, rng)
    return writer.finish()
