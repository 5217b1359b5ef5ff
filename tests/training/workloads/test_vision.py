"""The image task: its loss, its rows, and that it can be learned."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from harness.errors import SpecError
from harness.execution.parent.runner import Run, run_all
from harness.spec import registry
from harness.training.evaluation import check_one_batch
from harness.training.examples import Examples
from harness.training.seeding import generators_restored, seed_everything
from harness.training.workload import Workload
from harness.training.workloads import vision

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Workload:
    """The workload of the built-in case."""
    case = registry.cases()["vision"]
    folder = tmp_path_factory.mktemp("vision")
    with generators_restored():
        seed_everything(case.recipe.seed)
        return vision.build(case.options, case.recipe, torch.device("cpu"), folder)


def test_the_loss_is_the_models_own(task: Workload) -> None:
    """The task computes the model's loss, bit for bit; with the wrong labels it does not."""
    batch = dict(task.collate([task.train_set[row] for row in (0, 3, 7)]))
    task.model.eval()
    with torch.no_grad():
        output = task.model(**batch)
    labels = batch["labels"]
    assert torch.equal(output.loss, task.loss(output.logits, labels))
    assert not torch.equal(output.loss, task.loss(output.logits, (labels + 1) % 4))
    assert [0, 3, 7] == Examples(task.train_set).identify(batch)


def test_the_first_batch_fits(task: Workload) -> None:
    """The model predicts one of four classes for each image."""
    summary = check_one_batch(task, registry.cases()["vision"].recipe)
    assert "pixel_values [8, 3, 32, 32]" in summary
    assert summary.endswith("logits [8, 4]")


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    """A folder that is no checkpoint is refused with one line."""
    recipe = registry.cases()["vision"].recipe
    with pytest.raises(SpecError, match=r"config\.json"):
        vision.build({"model": str(tmp_path)}, recipe, torch.device("cpu"), tmp_path)


@pytest.mark.parametrize(
    ("name", "metric", "at_least"),
    [
        ("vision", "accuracy", 0.55),  # 0.25 by chance
        ("token_classification", "f1", 0.6),  # 0.08 for always "none"
        ("causal_lm", "accuracy", 0.4),  # 0.10 for always the commonest token
    ],
)
def test_the_new_tasks_are_learned_by_their_own_recipes(
    name: str, metric: str, at_least: float, tmp_path: Path
) -> None:
    """With its own recipe each task ends far above chance."""
    case = registry.cases()[name]
    run = Run(registry.run_spec(case, "plain", observe="timing"), tmp_path)
    (record,) = run_all([run], 1, lambda _number, _event: None)
    assert () == record.header.warnings
    assert record.header.final_metrics[metric] >= at_least
