"""The properties of llama.cpp's memory that the allocator and the engine thread rely on."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_gguf

from mythicd.errors import EngineError, ModelError
from mythicd.llm.llamacpp.context import BatchPart, Context, Model, NoCell
from mythicd.llm.llamacpp.options import LlamaOptions
from mythicd.native import llamacpp

pytestmark = pytest.mark.engine


class Bench:
    """A tiny model with one context, and the two calls that every test here repeats."""

    def __init__(self, path: Path, options: LlamaOptions, sequences: int = 8) -> None:
        self.model = Model(path, options)
        self.context = Context(self.model, options, sequences)
        self.library = llamacpp.backend()
        self.memory = self.library.llama_get_memory(self.context.pointer)

    def logits(self, sequence: int, position: int, tokens: list[int]) -> np.ndarray:
        """Evaluate the tokens and return the logits after the last, of shape (vocabulary,)."""
        [row] = self.context.evaluate([BatchPart(sequence, position, tokens, True)])
        return self.context.logits(row).copy()

    def alone(self, tokens: list[int], sequence: int = 0) -> np.ndarray:
        """Return the logits after these tokens with nothing else in the cache, which is emptied before and after."""
        self.context.clear()
        logits = self.logits(sequence, 0, tokens)
        self.context.clear()
        return logits

    def span(self, sequence: int) -> tuple[int, int]:
        """Return the first and the last position that the sequence holds; (-1, -1) when it is empty."""
        library, memory = self.library, self.memory
        return library.llama_memory_seq_pos_min(memory, sequence), library.llama_memory_seq_pos_max(memory, sequence)

    def fill(self, sequence: int) -> int:
        """Return how many cells are free, by filling them one by one; then give them back."""
        count = 0
        try:
            while True:
                self.context.evaluate([BatchPart(sequence, count, [7], False)])
                count += 1
        except NoCell:
            self.context.trim(sequence, 0)
            return count


@contextmanager
def bench(path: Path, options: LlamaOptions = LlamaOptions(n_ctx=512), sequences: int = 8) -> Iterator[Bench]:  # noqa: B008
    table = Bench(path, options, sequences)
    try:
        yield table
    finally:
        table.context.close()
        table.model.close()


def some(count: int, seed: int) -> list[int]:
    """Return `count` tokens of noise."""
    return [int(token) for token in np.random.default_rng(seed).integers(0, 256, count)]


WORLD, TAIL, OTHER = some(90, 1), some(40, 2), some(40, 3)
ROUNDING = 1e-3
"""More than the order of summing ever moved a logit here (3e-5); another prompt's logits are apart by 1 to 5."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gguf.write(tmp_path_factory.mktemp("models") / "tiny.gguf")


def apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).max())


def test_a_shared_front_gives_the_logits_of_one_evaluated_alone(tiny: Path) -> None:
    """Shared, trimmed, cut into other batches, beside others: a sequence's logits are the same.

    With 40 models of noise, whose logits have a deviation of 1, they were the same to the bit (with flash attention,
    which is off on a CPU for that reason, they were apart by up to 0.014); another prompt's were apart by 3 to 5.
    """
    with bench(tiny) as b:
        alone = b.alone(WORLD + TAIL)
        b.context.evaluate([BatchPart(1, 0, WORLD[:50], False)])
        b.context.evaluate([BatchPart(1, 50, WORLD[50:] + OTHER, False)])
        b.context.share(1, 2, 0, len(WORLD))
        b.context.trim(1, 10)
        shared = b.logits(2, 90, TAIL)
        b.context.trim(2, 90)
        b.context.evaluate([BatchPart(3, 0, OTHER, False), BatchPart(2, 90, TAIL[:7], False)])
        mixed = b.logits(2, 97, TAIL[7:])
        assert apart(shared, alone) < ROUNDING and apart(mixed, alone) < ROUNDING
        assert apart(alone, b.logits(4, 0, WORLD + OTHER)) > 1


@pytest.mark.parametrize("q8", [False, True])
@pytest.mark.parametrize("shape", [{}, {"head_width": 96}, {"heads": 2, "head_width": 32}])
def test_a_token_has_as_many_bytes_as_llama_cpp_saves_for_it(tmp_path: Path, shape: dict[str, int], q8: bool) -> None:
    """Heads need not be as wide as `embedding / heads`: Qwen3's and Gemma's are not."""
    tiny = tiny_gguf.write(tmp_path / "tiny.gguf", tiny_gguf.Tiny(**shape))
    with bench(tiny, LlamaOptions(n_ctx=256, kv_q8=q8)) as b:
        b.context.evaluate([BatchPart(0, 0, WORLD[:10], False), BatchPart(1, 0, WORLD[:50], False)])
        assert len(b.context.save(1)) - len(b.context.save(0)) == 40 * (b.model.kv_bytes(q8) + 12)


@pytest.mark.parametrize("q8", [False, True])
def test_a_tail_is_parked_and_rejoins_its_front(tiny: Path, q8: bool) -> None:
    """Without a spare sequence: drop the shared front, save what is left, load it elsewhere, share the front again."""
    with bench(tiny, LlamaOptions(n_ctx=512, kv_q8=q8)) as b:
        context = b.context
        context.evaluate([BatchPart(0, 0, WORLD, False)])
        context.share(0, 1, 0, 90)
        context.evaluate([BatchPart(1, 90, TAIL, False)])
        expected = b.logits(1, 130, [65])
        context.trim(1, 130)
        assert b.library.llama_memory_seq_rm(b.memory, 1, 0, 90) and b.span(1) == (90, 129)
        saved = context.save(1)
        assert 0 < len(saved) - 40 * (b.model.kv_bytes(q8) + 12) < 100  # 12 bytes of books for each cell
        context.trim(1, 0)
        assert b.fill(7) == 512 - 90
        assert context.load(5, saved) and b.span(5) == (90, 129)
        context.share(0, 5, 0, 90)
        assert b.span(5) == (0, 129) and b.fill(7) == 512 - 130
        assert apart(b.logits(5, 130, [65]), expected) == 0  # in the same cells, to the bit
        context.trim(5, 130)
        # `load` empties the sequence before it fills it: a front that is there already is lost.
        assert context.load(5, saved) and b.span(5) == (90, 129) and b.span(0) == (0, 89)


def test_a_tail_is_restored_into_scattered_cells_or_not_at_all(tiny: Path) -> None:
    with bench(tiny) as b:
        context = b.context
        context.evaluate([BatchPart(0, 0, WORLD, False)])
        context.share(0, 1, 0, 90)
        context.evaluate([BatchPart(1, 90, TAIL, False)])
        expected = b.logits(1, 130, [65])
        context.trim(1, 130)
        b.library.llama_memory_seq_rm(b.memory, 1, 0, 90)
        saved = context.save(1)
        context.trim(1, 0)
        for place in range(211):  # every other cell of the 422 left
            context.evaluate([BatchPart(2, place, [7], False), BatchPart(3, place, [8], False)])
        context.trim(3, 0)
        assert context.load(5, saved)
        context.share(0, 5, 0, 90)
        assert apart(b.logits(5, 130, [65]), expected) < ROUNDING
        context.trim(5, 130)
        context.evaluate([BatchPart(6, 0, some(132, 4), False)])  # a batch needs no run of cells either
        before = b.logits(5, 130, [65])
        context.trim(5, 130)
        context.evaluate([BatchPart(7, 0, [1, 2, 3], False)])
        assert not context.load(7, saved) and b.span(7) == (-1, -1)  # 39 free cells, for 40 tokens
        assert not context.load(7, saved[: len(saved) // 2]) and b.span(7) == (-1, -1)
        assert apart(b.logits(5, 130, [65]), before) == 0
        context.trim(5, 130)
        assert b.fill(7) == 39


def test_of_a_batch_without_room_nothing_stays(tiny: Path) -> None:
    with bench(tiny) as b:
        b.context.evaluate([BatchPart(0, 0, some(400, 4), False), BatchPart(1, 0, TAIL, False)])
        expected = b.logits(1, 40, [65])
        b.context.trim(1, 40)
        with pytest.raises(NoCell):
            b.context.evaluate([BatchPart(1, 40, TAIL, False), BatchPart(2, 0, OTHER, False)])
        assert b.span(1) == (0, 39) and b.span(2) == (-1, -1) and b.fill(2) == 72
        assert apart(b.logits(1, 40, [65]), expected) == 0


def test_a_stopped_batch_is_taken_back(tiny: Path) -> None:
    with bench(tiny) as b:
        b.context.evaluate([BatchPart(0, 0, WORLD, False)])
        b.context.interrupt()
        with pytest.raises(EngineError, match="stopped"):
            b.context.evaluate([BatchPart(0, 90, TAIL, False), BatchPart(1, 0, OTHER, True)])
        assert b.span(0) == (0, 89) and b.span(1) == (-1, -1)


@pytest.mark.parametrize(("asked", "split", "cells"), [(100, False, 256), (300, False, 512), (300, True, 4 * 256)])
def test_llama_cpp_rounds_the_context_up(tiny: Path, asked: int, split: bool, cells: int) -> None:
    with bench(tiny, LlamaOptions(n_ctx=asked, kv_unified=not split), 4) as b:
        assert b.context.cells == cells and b.fill(0) == (256 if split else cells)


@pytest.mark.parametrize("make", [tiny_gguf.write_recurrent, tiny_gguf.write_hybrid])
def test_a_state_cannot_be_trimmed_and_a_part_of_it_is_not_what_it_seems(make: tiny_gguf.Make, tmp_path: Path) -> None:
    with bench(make(tmp_path / "state.gguf")) as b:
        assert not b.model.trims(1)
        expected = b.alone([*WORLD, *TAIL, 65])
        b.context.evaluate([BatchPart(0, 0, WORLD + TAIL, False)])
        with pytest.raises(EngineError, match=r"\b0\b.*\b129\b"):
            b.context.trim(0, 129)
        b.context.share(0, 1, 0, 90)  # says nothing, but the state that it shares has seen the tail
        assert b.span(1)[0] == 129
        assert apart(b.logits(0, 130, [65]), expected) < ROUNDING  # the refused trim did no harm
        b.context.trim(0, 0)
        assert b.span(0) == (-1, -1)


def test_a_sliding_window_is_forgotten_behind_the_back_of_its_sequence(tmp_path: Path) -> None:
    """Cells that a sequence's window has left are given to others while free ones are left; trims say nothing of it.

    `llama_memory_seq_pos_min` tells: after a trim to `k`, the window at `k` must be there still.
    """
    window = 32
    with bench(tiny_gguf.write_swa(tmp_path / "swa.gguf", window=window)) as b:
        assert b.model.trims(window) and not b.model.trims(window + 1)
        expected = b.alone([*WORLD[:60], 65])
        b.context.evaluate([BatchPart(0, 0, some(90, 5), False)])
        b.context.evaluate([BatchPart(1, 0, WORLD, False)])
        b.context.trim(1, 60)
        assert apart(b.logits(1, 60, [65]), expected) < ROUNDING
        b.context.trim(1, 60)
        b.context.evaluate([BatchPart(1, 60, WORLD[60:], False)])
        b.context.trim(0, 0)
        b.context.evaluate([BatchPart(2, 0, some(180, 6), False)])  # into sequence 0's cells, then into sequence 1's
        first, last = b.span(1)
        assert last == 89 and first > 60 - window + 1
        b.context.trim(1, 60)
        assert apart(b.logits(1, 60, [65]), expected) > 0.1


def test_adapters_take_turns(tiny: Path, tmp_path: Path) -> None:
    """Step by step with another adapter, each sequence has the logits of one alone; a zero adapter is none."""
    names = [str(tiny_gguf.write_lora(tmp_path / f"{seed}.gguf", seed=seed)) for seed in (1, 2)]
    zero = str(tiny_gguf.write_lora(tmp_path / "zero.gguf", strength=0.0))
    with bench(tiny) as b:

        def use(name: str | None) -> bool:
            return b.context.adapt(name, None if name is None else b.model.adapter(name))

        expected = {}
        for sequence, name in enumerate((*names, None)):
            use(name)
            expected[name] = b.alone(WORLD + TAIL, sequence)
        assert use(zero) and not use(zero)
        assert apart(b.alone(WORLD + TAIL), expected[None]) == 0
        assert min(apart(expected[names[0]], expected[name]) for name in (names[1], None)) > 1
        for place in range(130):
            for sequence, name in enumerate((*names, None)):
                use(name)
                logits = b.logits(sequence, place, [(WORLD + TAIL)[place]])
                assert place < 129 or apart(logits, expected[name]) < ROUNDING


def text_for_a_number(path: Path) -> None:
    """llama.cpp would end the process over this."""
    data = tiny_gguf.write_lora(path).read_bytes()
    key = b"adapter.lora.alpha"
    at = data.index(key) + len(key)
    text = struct.pack("<IQ4s", 8, 4, b"four")
    path.write_bytes(data[:at] + text + data[at + 8 :])


ADAPTERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "another architecture": (lambda path: tiny_gguf.write_lora(path, architecture="qwen2"), "arch mismatch"),
    "another width": (lambda path: tiny_gguf.write_lora(path, replace(tiny_gguf.Tiny(), width=64)), "incorrect shape"),
    "more layers": (lambda path: tiny_gguf.write_lora(path, replace(tiny_gguf.Tiny(), layers=3)), "does not exist"),
    "a model": (tiny_gguf.write, "adapter.type"),
    "a number that is a text": (text_for_a_number, "adapter.lora.alpha"),
    "garbage behind its magic": (lambda path: path.write_bytes(b"GGUF" + b"\xff" * 4000), "header is damaged"),
    "no GGUF": (lambda path: path.write_bytes(b"%PDF-1.7" + bytes(100)), "not a GGUF file"),
    "a folder": (lambda path: path.mkdir(), "cannot be read"),
    "missing": (lambda path: None, "No such file"),
    "a control vector": (lambda path: tiny_gguf.write_lora(path, kind=("adapter", "control")), "to be 'lora'"),
    "cut": (lambda path: path.write_bytes(tiny_gguf.write_lora(path).read_bytes()[:-5000]), "corrupted or incomplete"),
    "cut in its header": (lambda path: path.write_bytes(tiny_gguf.write_lora(path).read_bytes()[:700]), "tensor info"),
}


@pytest.mark.parametrize("kind", ADAPTERS)
def test_invalid_adapter_refused_without_side_effects(kind: str, tiny: Path, tmp_path: Path) -> None:
    make, complaint = ADAPTERS[kind]
    make(tmp_path / "lora.gguf")
    with bench(tiny) as b:
        expected = b.logits(0, 0, WORLD)
        with pytest.raises(ModelError, match=complaint):
            b.model.adapter(str(tmp_path / "lora.gguf"))
        assert apart(b.alone(WORLD), expected) == 0
