"""`harness.LightningCallback`: a Lightning Trainer is recorded by a public callback."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

lightning = pytest.importorskip("lightning", reason="lightning is not installed")
pytestmark = pytest.mark.filterwarnings("default")  # what Lightning warns of is not ours

import harness  # noqa: E402  # after the library that may be absent

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Line(lightning.LightningModule):  # type: ignore[misc, name-defined]  # the library may be absent
    """A line with dropout."""

    def __init__(self, fails_at: int | None = None) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 4), nn.Dropout(0.1), nn.Linear(4, 1))
        self.fails_at = fails_at

    def training_step(self, batch: list[Tensor], number: int) -> Tensor:
        """The loss of a batch."""
        if self.global_step == self.fails_at:
            raise ValueError("a bad row")
        loss: Tensor = (self.body(batch[0]).squeeze(-1) - batch[1]).square().mean()
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: list[Tensor], number: int) -> None:
        """Log the loss of a batch."""
        self.log("val_loss", (self.body(batch[0]).squeeze(-1) - batch[1]).square().mean())

    def configure_optimizers(self) -> Any:
        """Plain momentum."""
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


def fit(callback: Any, model: Line | None = None, **arguments: Any) -> None:
    """Train for four steps of four rows."""
    lightning.seed_everything(0, verbose=False)
    rows = torch.arange(32.0).reshape(16, 2) / 32
    data = TensorDataset(rows, rows.sum(dim=1))
    lightning.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[callback],
        **arguments,
    ).fit(model or Line(), DataLoader(data, 4), DataLoader(data, 8))


def recorded(folder: Path, **arguments: Any) -> harness.Record:
    """The record of a training."""
    callback = harness.LightningCallback(folder)
    fit(callback, **arguments)
    assert callback.tracing is not None
    return callback.tracing.record


def test_two_equal_trainings_are_identical(tmp_path: Path) -> None:
    """Every step, with the validation; the check before the training is none."""
    one, other = recorded(tmp_path / "one"), recorded(tmp_path / "other")
    assert ("completed", 4, ()) == (one.status, one.header.steps, one.header.unseen)
    assert [(4, 16, ["val_loss"])] == [
        (each.step, each.rows, list(each.metrics)) for each in one.header.evaluations
    ]
    harness.assert_equivalent(one, other, out=tmp_path / "out")


def test_a_planted_fault_is_found(tmp_path: Path) -> None:
    """Control: gradients are clipped on one side."""
    one = recorded(tmp_path / "one")
    other = recorded(tmp_path / "other", gradient_clip_val=0.001)
    first = harness.compare(one, other, tmp_path / "out").comparisons[0].first_divergence
    assert first is not None
    assert (1, "weights") == (first.step, first.stage)


def test_a_training_that_fails_is_recorded_as_failed(tmp_path: Path) -> None:
    """With its error, at once."""
    callback = harness.LightningCallback(tmp_path / "run")
    with pytest.raises(ValueError, match="a bad row"):
        fit(callback, Line(fails_at=2))
    header = harness.load(tmp_path / "run").header
    assert ("failed", 2, "ValueError: a bad row") == (header.status, header.steps, header.error)


def test_a_loop_passes_its_probe() -> None:
    """It is called with the module and its optimizers."""
    calls: list[Any] = []

    class Probe:
        def watch(self, model: nn.Module, *optimizers: Any, rates: Any = None) -> None:
            calls.append((model, optimizers))

        def evaluated(self, scores: Any) -> None:
            calls.append(scores.rows)

    model = Line()
    fit(harness.LightningCallback(Probe()), model)  # type: ignore[arg-type]  # lacks what is not called
    assert model is calls[0][0]
    assert isinstance(calls[0][1][0], torch.optim.SGD)
    assert [16] == calls[1:]


def test_a_missing_library_is_one_line() -> None:
    """Naming the callback, and only that, asks for it."""
    code = (
        "import sys\n"
        "absent = ('lightning', 'pytorch_lightning', 'transformers')\n"
        "sys.modules.update(dict.fromkeys(absent))\n"
        "import harness\n"
        "for name in ('LightningCallback', 'TrainerCallback'):\n"
        "    try:\n"
        "        getattr(harness, name)\n"
        "    except harness.SpecError as error:\n"
        "        print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    one, other = done.stdout.splitlines()
    assert one.startswith("harness.LightningCallback needs lightning (met ")
    assert other.startswith("harness.TrainerCallback needs transformers (met ")
