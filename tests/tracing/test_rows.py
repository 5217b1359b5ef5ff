"""The digests of a batch: of each tensor, of each row, and of the labels of each row."""

from __future__ import annotations

from typing import Any

import torch

from harness.tracing.micro_batches import row_of
from harness.tracing.rows import label_digests, tensors_of


def test_the_labels_of_each_row_have_a_digest() -> None:
    """Equal labels have equal digests; a larger batch has none."""
    labels = torch.tensor([[1, 2], [3, 4], [1, 2]])
    found = label_digests({"input_ids": labels, "labels": labels})
    assert ["labels[0]", "labels[1]", "labels[2]"] == list(found)
    assert found["labels[0]"] == found["labels[2]"] != found["labels[1]"]
    assert {} == label_digests({"labels": torch.zeros(65)})
    assert {} == label_digests({"input_ids": labels})


def test_what_the_training_computed_is_no_part_of_the_batch() -> None:
    """A decoder reads a code; a leaf that is trained, for control, is an input."""
    weight = torch.ones(2, 3, requires_grad=True)
    given = {"x": torch.zeros(2, 3), "code": weight * 2, "trained": weight}
    assert ["x", "trained"] == list(tensors_of(given))


def test_a_pass_over_computed_values_hides_no_row() -> None:
    """The rows of an update are those of the passes that read data; without any there are none."""
    nothing: dict[str, Any] = {"sample_ids": None, "label_content": None, "generators": None}
    read = nothing | {"rows": [1, 2], "batch_content": 3}
    computed = nothing | {"rows": None, "batch_content": None}
    assert [1, 2] == row_of([read, computed], None)["rows"]
    assert row_of([computed], None)["rows"] is None
