"""Identifies the rows of a user's task, where reading them has no effect.

A data set of the user's may count its reads, or draw numbers from a generator of its own. Only
rows that torch or `datasets` hold in memory or in a file are read again; of others, a record holds
the digests of the rows and no numbers.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.utils.data import default_collate

from harness.tracing.rows import row_digests
from harness.training.seeding import generators_restored
from harness.training.task import is_plain
from harness.training.task_model import TaskCollate
from harness.training.workload import Workload

__all__ = ["OwnRows"]

_MOST_ROWS = 50_000
_UNKNOWN = -1


class OwnRows:
    """The columns and the rows of the training set of a user's task."""

    def __init__(self, workload: Workload) -> None:
        self._rows, self._collate = workload.train_set, workload.collate
        self._numbers: dict[int, int] | None = None
        with generators_restored():
            self.columns = list(self._collate([self._rows[0]]))
        """The columns of a batch."""
        collate = getattr(workload.collate, "collate", None)
        self._readable = (
            workload.has_labels
            and isinstance(workload.collate, TaskCollate)
            and collate is default_collate
            and len(self._rows) <= _MOST_ROWS
            and is_plain(self._rows)
        )

    def identify(self, batch: Mapping[str, Tensor]) -> list[int] | None:
        """Row numbers of a batch, -1 for a row outside the set; None: rows are not numbered."""
        digests = row_digests(batch, None) if self._readable else None
        if digests is None:
            return None
        if self._numbers is None:
            self._numbers = {}
            for number in range(len(self._rows)):
                own = row_digests(self._collate([self._rows[number]]), None)
                self._numbers.setdefault((own or [0])[0], number)
        return [self._numbers.get(digest, _UNKNOWN) for digest in digests]

    def labels_of(self, ids: list[int], batch: Mapping[str, Tensor]) -> Tensor:
        """The targets of numbered rows; zeros for a row outside the set."""
        known = [self._collate([self._rows[max(number, 0)]])["labels"] for number in ids]
        return torch.cat(
            [
                label if number != _UNKNOWN else torch.zeros_like(label)
                for number, label in zip(ids, known, strict=True)
            ]
        )
