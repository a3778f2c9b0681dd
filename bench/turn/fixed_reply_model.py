"""The fixed-reply model: random weights that say one sentence, with real work for every token on every side.

The layers are random, but their output is scaled down, so that at the end the last token's own embedding dominates; and
the output layer has, in the row of each word of the script, the embedding of the word before it. So the likeliest token
follows from the last one alone, and greedy decoding gives the script for any prompt, without a grammar or a special
sampler: <|im_start|>assistant "\n" -> That -> I -> can -> … -> ! -> <|im_end|>. The vocabulary is trained on all texts
of the prompts, until each word is one token.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from bench.random_model import CONTROL, ROLES, Shape, alphabet, filled, made, write_llama

EDITION = 1
"""Increased when files of earlier versions must not be used."""

TRIGGER = "\n"
"""The token that a reply's header ends with."""
END = "<|im_end|>"
MURMUR = 0.02
"""Scale of each layer relative to the embeddings: together they move a logit by about a tenth of the script's."""

_SPECIAL = re.compile("(" + "|".join(map(re.escape, CONTROL)) + ")")
# How Qwen 2's tokeniser splits a text before BPE, for ASCII.
_PIECE = re.compile(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\nA-Za-z0-9]?[A-Za-z]+|[0-9]| ?[^\sA-Za-z0-9]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def pieces(text: str) -> list[str]:
    """Return the pieces of a text before BPE, which are tokens if BPE knows them. Raises ValueError."""
    if not text.isascii():
        raise ValueError("The vocabulary of a benchmark must be ASCII.")
    cut: list[str] = []
    for part in _SPECIAL.split(text):
        cut += [part] if part in CONTROL else _PIECE.findall(part)
    return cut


def chain(reply: str) -> dict[str, str]:
    """Return for each token of the reply, and for TRIGGER before it, the next one; the last is END.

    Raises ValueError when a token occurs twice, since its successor would not be unique.
    """
    said = [TRIGGER, *pieces(reply), END]
    twice = [piece for piece, count in Counter(said).items() if count > 1]
    if twice:
        raise ValueError(f"{twice[0]!r} occurs twice in the reply, so its next token is not unique.")
    return dict(itertools.pairwise(said))


def trained(texts: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return (tokens, merges) of the byte-level BPE in which every piece of these texts is one token."""
    letters = alphabet()
    counts = Counter(piece for text in texts for piece in pieces(text) if piece not in CONTROL)
    words = {tuple(letters[byte] for byte in piece.encode()): count for piece, count in counts.items()}
    tokens, merges = list(letters), list[str]()
    known = set(tokens)
    while pairs := _pairs(words):
        # Ties are broken alphabetically, so that the same texts give the same file.
        left, right = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(f"{left} {right}")
        if left + right not in known:
            known.add(left + right)
            tokens.append(left + right)
        words = {_merged(word, left, right): count for word, count in words.items()}
    return tokens, merges


def model(shape: Shape, texts: Sequence[str], reply: str, folder: Path | None = None) -> Path:
    """Return the path of the model of this shape that says `reply` and has the words of `texts`; it is generated if
    missing.
    """
    mark = hashlib.sha256(repr((EDITION, shape, sorted(set(texts)), reply)).encode()).hexdigest()[:8]
    return made(f"{shape.name}-says-{mark}.gguf", folder, lambda path: _write(path, shape, texts, reply))


def _pairs(words: Mapping[tuple[str, ...], int]) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for word, count in words.items():
        for pair in itertools.pairwise(word):
            found[pair] += count
    return found


def _merged(word: tuple[str, ...], left: str, right: str) -> tuple[str, ...]:
    if left not in word:
        return word
    out: list[str] = []
    for symbol in word:
        # As BPE does, from the left: a new pair is not merged again in the same pass.
        if out and out[-1] == left and symbol == right:
            out[-1] = left + right
        else:
            out.append(symbol)
    return tuple(out)


def _write(path: Path, shape: Shape, texts: Sequence[str], reply: str) -> None:
    rng = np.random.default_rng(1)
    tokens, merges = trained([*texts, *ROLES, TRIGGER, reply])
    tokens = filled(tokens, shape.vocabulary)
    letters = alphabet()
    embeddings = rng.standard_normal((shape.vocabulary, shape.width), np.float32)

    def number(piece: str) -> int:
        return tokens.index(piece if piece in CONTROL else "".join(letters[byte] for byte in piece.encode()))

    def weight(name: str, rows: int, columns: int) -> np.ndarray:
        if name == "token_embd.weight":
            return embeddings
        if name == "output.weight":
            values = np.zeros((rows, columns), np.float32)
            for before, after in chain(reply).items():
                values[number(after)] = embeddings[number(before)] / np.sqrt(columns)
            return values
        values = rng.standard_normal((rows, columns), np.float32) * np.float32(columns**-0.5)
        return values * np.float32(MURMUR) if name.endswith(("attn_output.weight", "ffn_down.weight")) else values

    write_llama(path, shape, tokens, merges, weight)
