"""The tagging task: one label per word, and a loss over the labelled pieces."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from harness.spec import registry
from harness.training.evaluation import check_one_batch
from harness.training.examples import Examples
from harness.training.metrics.accuracy_and_macro_f1 import AccuracyAndMacroF1
from harness.training.seeding import generators_restored, seed_everything
from harness.training.synthetic.tagged_sentences import TAGS, tagged_splits
from harness.training.workload import IGNORED, Workload
from harness.training.workloads import token_classification

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Workload:
    """The workload of the built-in case."""
    case = registry.cases()["token_classification"]
    folder = tmp_path_factory.mktemp("tokens")
    with generators_restored():
        seed_everything(case.recipe.seed)
        return token_classification.build(case.options, case.recipe, torch.device("cpu"), folder)


def test_the_loss_is_the_models_own(task: Workload) -> None:
    """The task computes the model's loss, bit for bit; with the wrong labels it does not."""
    batch = dict(task.collate([task.train_set[row] for row in (0, 3, 7)]))
    task.model.eval()
    with torch.no_grad():
        output = task.model(**batch)
    labels = batch["labels"]
    assert torch.equal(output.loss, task.loss(output.logits, labels))
    assert not torch.equal(output.loss, task.loss(output.logits, labels.clamp(min=0)))


def test_rows_and_labels_are_found_again(task: Workload) -> None:
    """A batch's rows are identified, and their labels are those that the collator gave."""
    batch = dict(task.collate([task.train_set[row] for row in (7, 0)]))
    examples = Examples(task.train_set)
    ids = examples.identify(batch)
    assert [7, 0] == ids
    assert torch.equal(batch["labels"], examples.labels_of(ids, batch))
    assert not torch.equal(batch["labels"], examples.labels_of(ids[::-1], batch))


def test_only_the_first_piece_of_a_word_is_labelled(task: Workload) -> None:
    """Labels read in order are the tags of the words; there are more tokens than labels."""
    for row, made in zip(task.train_set, tagged_splits().train[:50], strict=False):
        labels = row["labels"][row["labels"] != IGNORED].tolist()
        assert made["tags"] == labels
        assert len(row["input_ids"]) >= len(labels) + 2
        assert [IGNORED, IGNORED] == row["labels"][[0, -1]].tolist()


def test_the_first_batch_fits(task: Workload) -> None:
    """The model predicts one of the tags for each token."""
    summary = check_one_batch(task, registry.cases()["token_classification"].recipe)
    assert f"{len(TAGS)}]" in summary


def test_f1_is_the_mean_over_the_tags(tmp_path: Path) -> None:
    """By hand: class 0 has F1 6/7, class 1 has F1 0, which accuracy alone would hide."""
    metric = AccuracyAndMacroF1(cache_dir=str(tmp_path), keep_in_memory=True)
    metric.add_batch(predictions=[0, 0, 0, 0], references=[0, 0, 0, 1])
    assert {"accuracy": 0.75, "f1": pytest.approx(3 / 7)} == metric.compute()
