"""The parts that need torch: the copying circuit, isolated batches, checkpoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tokenizers")

from training.batches import BatchShape, make_batch  # noqa: E402
from training.circuit import set_induction  # noqa: E402
from training.model import Shape, StarterModel  # noqa: E402
from training.tokenizer import load  # noqa: E402
from training.train import Trainer, learning_rate_share  # noqa: E402

SMALL = Shape(vocabulary=4096, layers=2, context=512)


def test_untrained_circuit_repeats_its_input() -> None:
    torch.manual_seed(0)
    model = StarterModel(SMALL)
    set_induction(model)
    once = torch.randperm(4000)[:60]
    ids = torch.cat((once, once))[None]
    best = model(ids).argmax(-1)[0]
    right = (best[61:-1] == ids[0, 62:]).float().mean().item()
    assert right > 0.5


def test_batches_depend_on_seed_and_step_alone() -> None:
    shape = BatchShape(rows=2, time=512, targets=256)
    first, again, next_ = (make_batch(load(), shape, 1, step, 0.1, 0.1) for step in (7, 7, 8))
    for left, right in zip(first.arrays(), again.arrays(), strict=True):
        np.testing.assert_array_equal(left, right)
    assert (first.ids != next_.ids).any()


def test_question_cannot_see_its_neighbours() -> None:
    torch.manual_seed(0)
    model = StarterModel(SMALL)
    set_induction(model)
    ids = torch.randint(100, 4000, (1, 12))
    positions = torch.tensor([[0, 1, 2, 3, 4, 5, 6, 7, 6, 7, 4, 5]])
    segments = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2]])
    branches = torch.tensor([[0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 0, 0]])
    before = model.hidden(ids, positions, segments, branches)
    changed = ids.clone()
    changed[0, 6:8] = 5  # branch 1 of segment 1
    after = model.hidden(changed, positions, segments, branches)
    torch.testing.assert_close(before[:, 8:], after[:, 8:])
    alone = model.hidden(
        ids[:, [0, 1, 2, 3, 10, 11]], torch.arange(6)[None], *[torch.zeros(1, 6, dtype=torch.long)] * 2
    )
    torch.testing.assert_close(before[:, 10:], alone[:, 4:])


def test_learning_rate_warms_up_holds_and_cools() -> None:
    shares = [learning_rate_share(step, 1000, 200) for step in (0, 99, 500, 800, 900, 1000)]
    assert shares == pytest.approx([0.01, 1.0, 1.0, 1.0, 0.5, 0.0])


def test_run_after_another_one_warms_up_again() -> None:
    shares = [learning_rate_share(step, 1000, 200, began=400) for step in (400, 449, 499, 700)]
    assert shares == pytest.approx([0.01, 0.5, 1.0, 1.0])


def test_checkpoint_resumes_exactly(tmp_path: Path) -> None:
    trainer = Trainer.fresh(SMALL, 1, 0.01, 1e-3)
    trainer.step = 41
    trainer.save(tmp_path / "checkpoint.pt")
    other = Trainer.fresh(SMALL, 2, 0.01, 1e-3)
    other.restore(tmp_path / "checkpoint.pt")
    assert other.step == 41
    for left, right in zip(trainer.model.parameters(), other.model.parameters(), strict=True):
        torch.testing.assert_close(left, right)
