"""How the outputs of a model become predictions, by the kind of its task.

Each function takes outputs and targets of the same rows, on any device, and returns predictions
and references for the metric, on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_map_only

__all__ = ["IGNORED", "Predict", "as_they_are", "best_class", "chosen_labels", "numbers"]

IGNORED = -100
"""The label of a position without a target: padding, a special token, the rest of a word."""

Predict = Callable[[Any, Any], tuple[Any, Any]]


def best_class(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Of logits [..., classes]: the class with the highest, where the target is not `IGNORED`."""
    scored = targets != IGNORED
    return logits.argmax(dim=-1)[scored].cpu(), targets[scored].cpu()


def numbers(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The outputs themselves, [rows, numbers]; each row has as many targets as outputs."""
    rows = len(targets)
    return outputs.reshape(rows, -1).double().cpu(), targets.reshape(rows, -1).double().cpu()


def chosen_labels(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Of logits [rows, labels]: 1 for each label with a probability above one half, else 0."""
    return (logits > 0).long().cpu(), targets.long().cpu()


def as_they_are(outputs: Any, targets: Any) -> tuple[Any, Any]:
    """Outputs and targets, for a metric of the user's that knows them."""
    return tree_map_only(Tensor, _on_cpu, outputs), tree_map_only(Tensor, _on_cpu, targets)


def _on_cpu(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu()
