"""The digests of a batch: of each tensor, of each row, and of the labels of each row."""

from __future__ import annotations

import torch

from harness.tracing.rows import label_digests


def test_the_labels_of_each_row_have_a_digest() -> None:
    """Equal labels have equal digests; a larger batch has none."""
    labels = torch.tensor([[1, 2], [3, 4], [1, 2]])
    found = label_digests({"input_ids": labels, "labels": labels})
    assert ["labels[0]", "labels[1]", "labels[2]"] == list(found)
    assert found["labels[0]"] == found["labels[2]"] != found["labels[1]"]
    assert {} == label_digests({"labels": torch.zeros(65)})
    assert {} == label_digests({"input_ids": labels})
