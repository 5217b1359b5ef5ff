"""`Task`: what a workload adds to a probe that knows only torch.

A probe records any training. If it is also told how the workload identifies its rows and computes
its loss, it records these too, and compares the workload's loss with the loss of the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

__all__ = ["Task"]

Batch = Mapping[str, Tensor]


@dataclass(frozen=True)
class Task:
    """The rows, labels and loss of a workload."""

    columns: Sequence[str]
    """The tensors of a batch, as the model takes them."""
    rows: int
    """Number of rows of the training set."""
    steps: int
    """The planned number of updates."""
    ignored: int
    """The label of a position without a target."""
    pad_token_id: int | None
    """The token that fills a row up to the length of its batch; None: no row is text."""
    identify: Callable[[Batch], list[int] | None]
    """The row numbers of a batch, -1 for a row outside the training set; None: it has no rows."""
    labels_of: Callable[[list[int], Batch], Tensor]
    """The labels of numbered rows, on the device of the training, for a loop that does not pass
    them to its model."""
    logits: Callable[[Any, Tensor], Tensor | None]
    """The logits in the output of a model, for labels; None if the output has none that fit."""
    loss: Callable[[Tensor, Tensor], Tensor]
    """The workload's own loss: logits, labels -> mean over all targets."""
    targets: Callable[[Tensor], Tensor]
    """The target of the logits at each position, in the shape of the labels."""
    loss_metrics: frozenset[str]
    """Metrics that are functions of the evaluation loss."""
    collator: Any
    """The function that makes a batch of rows."""
    state_after_collating: Callable[[], Tensor]
    """Collates one row, restores all generators, and returns the state that torch's generator had
    after the collator."""
    environment: Mapping[str, str]
    """Environment variables that override the code, with the values that contradict nothing."""
