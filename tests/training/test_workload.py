"""Rows are identified in any batch, and scores count only positions with a target."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from datasets import Array3D, Dataset, Features, Value
from torch import Tensor

from harness.errors import SpecError
from harness.spec.recipe import Recipe
from harness.training.evaluation import check_one_batch, evaluate_model
from harness.training.examples import Examples
from harness.training.metrics.accuracy import Accuracy
from harness.training.workload import IGNORED, Workload, mean_cross_entropy

TOKENS = [[5, 6, 7], [5, 6], [8, 9, 5, 6]]
TAGS = [[IGNORED, 1, 0], [2, IGNORED], [0, 1, 2, IGNORED]]
MASKS = {
    "right": [[1, 1, 1, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 1, 0]],
    "left": [[0, 0, 1, 1, 1], [0, 0, 0, 1, 1], [0, 1, 1, 1, 1]],
}


def text() -> Examples:
    """Three rows of unequal length with one label per token."""
    return Examples(
        Dataset.from_dict({"input_ids": TOKENS, "labels": TAGS}).with_format("torch"),
    )


def placed(rows: list[list[int]], side: str, filling: int) -> Tensor:
    """The rows, padded on one side."""
    batch = torch.full((3, 5), filling)
    for number, row in enumerate(rows):
        batch[number, torch.tensor(MASKS[side][number]).bool()] = torch.tensor(row)
    return batch


@pytest.mark.parametrize("side", MASKS)
def test_padded_rows_and_their_labels_are_found_on_either_side(side: str) -> None:
    """Rows are identified by their tokens; their labels are at the tokens' positions."""
    batch = {
        "input_ids": placed(TOKENS, side, 0),
        "attention_mask": torch.tensor(MASKS[side]),
    }
    examples = text()
    ids = examples.identify(batch)
    assert [0, 1, 2] == ids
    assert torch.equal(placed(TAGS, side, IGNORED), examples.labels_of(ids, batch))


def test_a_row_outside_the_set_is_unknown_and_has_no_labels() -> None:
    """Control: one changed token makes a row unknown, and all its labels are ignored."""
    batch = {
        "input_ids": placed(TOKENS, "right", 0),
        "attention_mask": torch.tensor(MASKS["right"]),
    }
    batch["input_ids"][1, 0] = 9
    examples = text()
    ids = examples.identify(batch)
    assert [0, Examples.UNKNOWN, 2] == ids
    assert [IGNORED] * 5 == examples.labels_of(ids, batch)[1].tolist()


def test_packed_rows_are_identified_without_a_mask() -> None:
    """Without padding all tokens count, and equal rows share the number of the first."""
    rows = [[1, 2, 3], [4, 5, 6], [1, 2, 3]]
    examples = Examples(Dataset.from_dict({"input_ids": rows, "labels": rows}))
    batch = {"input_ids": torch.tensor([rows[2], rows[1], [4, 5, 7]])}
    assert [0, 1, Examples.UNKNOWN] == examples.identify(batch)


def test_images_are_identified_by_their_pixels() -> None:
    """An image is identified; after a change of one pixel by one ulp it is unknown."""
    pixels = torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    features = Features({"pixel_values": Array3D((3, 4, 4), "float32"), "labels": Value("int64")})
    columns = {"pixel_values": pixels.numpy(), "labels": [1, 0, 1]}
    examples = Examples(Dataset.from_dict(columns, features=features).with_format("torch"))
    assert [2, 0] == examples.identify({"pixel_values": pixels[[2, 0]]})
    assert [1, 1] == examples.labels_of([2, 0], {"pixel_values": pixels[[2, 0]]}).tolist()

    moved = pixels[[2, 0]].clone()
    moved[0, 0, 0, 0] = torch.nextafter(moved[0, 0, 0, 0], torch.tensor(2.0))
    assert [Examples.UNKNOWN, 0] == examples.identify({"pixel_values": moved})


class Echo(torch.nn.Module):
    """Predicts for each token a fixed distribution with its peak at the token itself."""

    config = SimpleNamespace(get_text_config=lambda: SimpleNamespace(vocab_size=10))

    def forward(self, input_ids: Tensor, labels: Tensor) -> Any:
        """Logits [batch, length, 3]: 2 for class `token mod 3`, 0 for the others."""
        logits = 2.0 * torch.nn.functional.one_hot(input_ids % 3, 3).float()
        return SimpleNamespace(logits=logits, loss=mean_cross_entropy(logits, labels))


def echo_task(folder: Path, labels: list[list[int]], **changed: Any) -> Workload:
    """Rows of four tokens with one label per token, without padding."""
    rows = Dataset.from_dict({"input_ids": [[0, 1, 2, 0]] * len(labels), "labels": labels})
    parts = {
        "name": "echo",
        "model": Echo(),
        "tokenizer": None,
        "train_set": rows.with_format("torch"),
        "eval_set": rows.with_format("torch"),
        "collate": torch.utils.data.default_collate,
        "num_classes": 3,
        "loss": mean_cross_entropy,
        "metric": lambda: Accuracy(cache_dir=str(folder), keep_in_memory=True),
        "device": torch.device("cpu"),
        "output_dir": folder,
        "loss_metrics": {"perplexity": math.exp},
    }
    return Workload(**cast(Any, {**parts, **changed}))


def test_the_evaluation_averages_over_targets(tmp_path: Path) -> None:
    """Each label that is not ignored has the same weight, in any row and batch."""
    labels = [[0, 1, 2, 1], [IGNORED] * 4, [1, IGNORED, IGNORED, IGNORED]]
    task = echo_task(tmp_path, labels)
    scores = evaluate_model(task, Recipe(eval_batch_size=1), task.model)
    right = math.log(math.e**2 + 2) - 2
    wrong = math.log(math.e**2 + 2)
    loss = (3 * right + 2 * wrong) / 5

    assert 3 == scores.rows
    assert scores.metrics["accuracy"] == pytest.approx(3 / 5)
    assert scores.metrics["loss"] == pytest.approx(loss)
    assert scores.metrics["perplexity"] == pytest.approx(math.exp(loss))
    assert frozenset({0, 1, 2}) == scores.predicted
    mean_of_batch_means = ((3 * right + wrong) / 4 + wrong) / 2
    assert scores.metrics["loss"] != pytest.approx(mean_of_batch_means)


def test_classes_predicted_at_ignored_positions_do_not_hide_a_collapse(tmp_path: Path) -> None:
    """If all targets get one predicted class, only that class is reported."""
    task = echo_task(tmp_path, [[0, IGNORED, IGNORED, 0]] * 2)
    assert frozenset({0}) == evaluate_model(task, Recipe(), task.model).predicted


def test_one_batch_is_checked_against_the_task(tmp_path: Path) -> None:
    """A model that fits is described; one with another number of classes is refused."""
    labels = [[0, 1, 2, 0]] * 2
    summary = check_one_batch(echo_task(tmp_path, labels), Recipe())
    assert "logits [2, 4, 3]" in summary
    with pytest.raises(SpecError, match="task echo"):
        check_one_batch(echo_task(tmp_path, labels, num_classes=4), Recipe())


def test_a_batch_without_a_column_is_identified_by_the_others() -> None:
    """Without token types, the tokens identify the rows; a changed token makes a row unknown."""
    rows = Dataset.from_dict(
        {
            "input_ids": TOKENS,
            "token_type_ids": [[0] * len(row) for row in TOKENS],
            "labels": [0] * 3,
        }
    ).with_format("torch")
    examples = Examples(rows)
    mask = torch.tensor(MASKS["right"])
    batch = {"input_ids": placed(TOKENS, "right", 0), "attention_mask": mask}
    assert [0, 1, 2] == examples.identify(batch)
    assert [0, 1, 2] == examples.identify({**batch, "token_type_ids": torch.zeros_like(mask)})
    batch["input_ids"][2, 0] = 9
    assert [0, 1, Examples.UNKNOWN] == examples.identify(batch)
