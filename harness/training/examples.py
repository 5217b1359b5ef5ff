"""Identifies the training rows in a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from harness.training.workload import IGNORED

__all__ = ["Examples"]


class Examples:
    """Identifies the training rows in a batch from its contents.

    A row is identified by its tokens without padding, or by its pixels, so any loop can be
    recorded, whatever columns it drops. Equal rows share the number of the first of them.
    """

    UNKNOWN = -1

    def __init__(self, train_set: Dataset, pad_token_id: int | None = None) -> None:
        """`pad_token_id`: the token that fills a row, for a loop that passes no attention mask."""
        self._pad = pad_token_id
        columns = train_set.with_format("numpy")
        kinds = ("input_ids", "token_type_ids", "pixel_values")
        self._keys = [name for name in kinds if name in columns.features]
        self._columns = columns
        self._ids: dict[tuple[str, ...], dict[bytes, int]] = {}
        labels = [torch.tensor(row) for row in columns["labels"][:]]
        self.labels = (
            pad_sequence(labels, batch_first=True, padding_value=IGNORED)
            if labels[0].ndim and not labels[0].is_floating_point()
            else torch.stack(labels)
        )
        """Labels of the training set: [rows], [rows, labels] of floating-point numbers, or [rows,
        longest] of one label per token, padded with `IGNORED`."""

    def identify(self, batch: Mapping[str, Tensor]) -> list[int] | None:
        """Row numbers of a batch [batch, ...]; `UNKNOWN` for a row outside the training set.

        None if the batch holds no column that identifies a row.
        """
        keys = tuple(name for name in self._keys if name in batch)  # a loop may leave some out
        if not keys:
            return None
        if keys not in self._ids:
            known = self._ids[keys] = {}
            for number, row in enumerate(zip(*(self._columns[name] for name in keys), strict=True)):
                known.setdefault(_row_key(row), number)
        columns = [_as_numpy(batch[name]) for name in keys]
        rows: Any = zip(*columns, strict=True)
        mask = None
        if "attention_mask" in batch:
            mask = _as_numpy(batch["attention_mask"]).astype(bool)
        elif "input_ids" in batch and self._pad is not None:
            mask = _as_numpy(batch["input_ids"]) != self._pad
        if mask is not None:
            rows = ([column[i][mask[i]] for column in columns] for i in range(len(mask)))
        return [self._ids[keys].get(_row_key(row), self.UNKNOWN) for row in rows]

    def labels_of(self, ids: list[int], batch: Mapping[str, Tensor]) -> Tensor:
        """The labels of the rows `ids` in `batch`, in the shape of the collator, on the CPU.

        For a loop that computes its loss outside the model and so does not pass the labels to it.
        A token's label is at the token's position; labels of an unknown row are `IGNORED`.
        """
        if self.labels.ndim == 1 or self.labels.is_floating_point():
            return self.labels[ids]
        tokens = batch["input_ids"]
        mask = batch.get("attention_mask", torch.ones_like(tokens)).bool().cpu()
        labels = torch.full(tokens.shape, IGNORED)
        for row, number in enumerate(ids):
            if number != self.UNKNOWN:
                labels[row, mask[row]] = self.labels[number, : int(mask[row].sum())]
        return labels


def _as_numpy(tensor: Tensor) -> Any:
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()


def _row_key(columns: Any) -> bytes:
    arrays = (np.asarray(column) for column in columns)
    return b"|".join(
        array.astype(np.float32 if array.dtype.kind == "f" else np.int64).tobytes()
        for array in arrays
    )
