"""The embedded task is learned from its labels alone."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from harness.execution.parent.runner import Run, run_all
from harness.results.record import RunRecord
from harness.spec import registry
from harness.training.synthetic.sentence_pairs import splits
from tests.support.small_runs import small_case, write_pairs

pytestmark = pytest.mark.slow

MAJORITY = 279 / 408  # what always answering "yes" gives


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunRecord]:
    """The plain loop by the case's recipe, with the true labels and with shuffled labels."""
    folder = tmp_path_factory.mktemp("paraphrase")
    train, validation = splits()
    labels = [row["label"] for row in train]
    random.Random(0).shuffle(labels)
    shuffled = [{**row, "label": label} for row, label in zip(train, labels, strict=True)]
    data = folder / "shuffled"
    data.mkdir()
    for name, rows in (("train", shuffled), ("validation", validation)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (data / f"{name}.jsonl").write_text(text, encoding="utf-8")

    case = registry.cases()["paraphrase"]
    cases = {"true": case, "shuffled": registry.with_settings(case, {"data": str(data)})}
    runs = [
        Run(registry.run_spec(each, "plain", observe="timing"), folder / name)
        for name, each in cases.items()
    ]
    return dict(zip(cases, run_all(runs, 2, lambda _number, _event: None), strict=True))


def test_the_task_is_learned_at_its_own_recipe(records: dict[str, RunRecord]) -> None:
    """1377 steps reach an accuracy of at least 0.80, well above the majority class."""
    header = records["true"].header
    assert 1377 == header.steps
    assert header.final_metrics["accuracy"] >= 0.80 > MAJORITY + 0.1
    assert header.final_metrics["f1"] >= 0.85
    assert () == header.warnings


def test_shuffled_labels_stay_at_chance(records: dict[str, RunRecord]) -> None:
    """With shuffled training labels there is nothing to learn."""
    assert records["shuffled"].header.final_metrics["accuracy"] <= MAJORITY + 0.03


def test_a_collapse_is_reported(tmp_path: Path) -> None:
    """A model that predicts one class for every row is flagged, however well it scores.

    It was trained on rows of one class. The control is trained on the same rows at a rate that
    moves nothing.
    """
    case = small_case(write_pairs(tmp_path / "data", label=1), max_steps=12)
    rates = {"unmoved": 1e-12, "collapsed": 1e-3}
    runs = [
        Run(
            registry.run_spec(registry.with_settings(case, {"learning_rate": rate}), "plain"),
            tmp_path / name,
        )
        for name, rate in rates.items()
    ]
    free, collapsed = run_all(runs, 2, lambda _number, _event: None)
    assert () == free.header.warnings
    assert "majority-class collapse" in " ".join(collapsed.header.warnings)
