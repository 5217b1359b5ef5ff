"""`harness.TrainerCallback`: the stock Trainer is recorded, unchanged, by a public callback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import Trainer, TrainingArguments, set_seed

import harness
from harness.errors import SpecError


class Regression(nn.Module):
    """A line with dropout, called as the Trainer calls models."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.1), nn.Linear(4, 1))

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The loss and the predictions."""
        found = self.line(x).squeeze(-1)
        return {"loss": (found - labels).square().mean(), "logits": found}


ROWS = [{"x": torch.tensor([i, i % 3, 1.0]) / 8, "labels": i / 4} for i in range(16)]


def fit(folder: Path, callback: Any, **arguments: Any) -> Regression:
    """Train for four steps."""
    set_seed(0)
    model = Regression()
    settings = TrainingArguments(
        output_dir=str(folder / "trainer"),
        per_device_train_batch_size=8,
        num_train_epochs=2,
        learning_rate=0.01,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        **arguments,
    )
    Trainer(
        model,
        settings,
        train_dataset=ROWS,
        eval_dataset=ROWS[:5],
        callbacks=[callback],
    ).train()
    return model


def recorded(folder: Path, name: str, **arguments: Any) -> harness.Record:
    """The record of a training."""
    callback = harness.TrainerCallback(folder / name)
    fit(folder, callback, **arguments)
    assert callback.tracing is not None
    return callback.tracing.record


def test_two_equal_trainings_are_identical(tmp_path: Path) -> None:
    """Every step, with each evaluation; nothing was unseen."""
    one = recorded(tmp_path, "one", eval_strategy="epoch")
    other = recorded(tmp_path, "other", eval_strategy="epoch")
    assert ("completed", 4, ()) == (one.status, one.header.steps, one.header.unseen)
    assert [(2, 5), (4, 5)] == [(each.step, each.rows) for each in one.header.evaluations]
    assert {"loss"} == one.header.evaluations[0].loss_metrics.keys()
    harness.assert_equivalent(one, other, out=tmp_path / "out")


def test_a_planted_fault_is_found(tmp_path: Path) -> None:
    """Control: gradients are not clipped on one side."""
    one = recorded(tmp_path, "one", max_grad_norm=0.01)
    other = recorded(tmp_path, "other", max_grad_norm=0.0)
    report = harness.compare(one, other, tmp_path / "out")
    first = report.comparisons[0].first_divergence
    assert first is not None
    assert (1, "weights") == (first.step, first.stage)


def test_the_training_is_not_changed(tmp_path: Path) -> None:
    """The weights are those of the Trainer without the callback."""
    from transformers import TrainerCallback

    alone = fit(tmp_path, TrainerCallback())
    traced = fit(tmp_path, harness.TrainerCallback(tmp_path / "run"))
    for name, value in alone.state_dict().items():
        assert torch.equal(value, traced.state_dict()[name])


def test_a_training_that_failed_is_recorded_when_the_next_one_begins(tmp_path: Path) -> None:
    """The Trainer does not notify a callback of an error."""
    broken = harness.TrainerCallback(tmp_path / "broken")
    with pytest.raises(TypeError):
        fit(tmp_path, broken, max_grad_norm="x")
    assert broken.tracing is not None
    assert broken.tracing.is_open
    assert "completed" == recorded(tmp_path, "next").status
    assert "failed" == broken.tracing.record.status


class Probe:
    """A probe that keeps its calls."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def watch(self, model: nn.Module, *optimizers: Any, rates: Any = None) -> None:
        """Keep it."""
        self.calls.append((model, [type(each).__name__ for each in optimizers]))

    def evaluated(self, scores: Any) -> None:
        """Keep it."""
        self.calls.append((scores.rows, sorted(scores.metrics)))


def test_a_loop_passes_its_probe(tmp_path: Path) -> None:
    """It is called as soon as the optimizer exists, and after each evaluation."""
    probe = Probe()
    callback = harness.TrainerCallback(probe)  # type: ignore[arg-type]  # it lacks what is not called
    model = fit(tmp_path, callback, eval_strategy="epoch")
    assert (model, ["AcceleratedOptimizer"]) == probe.calls[0]
    assert [(5, ["loss"])] * 2 == probe.calls[1:]
    assert callback.tracing is None


def test_a_folder_in_use_is_refused_before_the_first_step(tmp_path: Path) -> None:
    """One line, and the record in it stays."""
    recorded(tmp_path, "one")
    with pytest.raises(SpecError, match="replace=True"):
        recorded(tmp_path, "one")
    assert 4 == harness.load(tmp_path / "one").header.steps
