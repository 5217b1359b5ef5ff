"""Which loss function a backward pass starts from, read from the graph that autograd built.

Only the nodes near the scalar are looked at. A loss that is put together by hand has none of the
known nodes, and nothing is said of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from torch import Tensor

__all__ = ["loss_settings"]

_NODES_READ = 64
_FUNCTIONS = {
    "BinaryCrossEntropy": "binary_cross_entropy",
    "BinaryCrossEntropyWithLogits": "binary_cross_entropy_with_logits",
    "CtcLoss": "ctc_loss",
    "HuberLoss": "huber_loss",
    "MseLoss": "mse_loss",
    "MultiMarginLoss": "multi_margin_loss",
    "NllLoss": "nll_loss",
    "NllLoss2D": "nll_loss",
    "SmoothL1Loss": "smooth_l1_loss",
    "SoftMarginLoss": "soft_margin_loss",
}
_REDUCTIONS = {0: "none", 1: "mean", 2: "sum"}


def loss_settings(roots: Sequence[Tensor]) -> dict[str, Any]:
    """Settings of the loss, as JSON values; empty if its function is not known or not the only one.

    `loss.function`, `loss.reduction`, and of a cross-entropy `loss.label_smoothing`.
    """
    if len(roots) != 1 or roots[0].grad_fn is None:
        return {}
    found: dict[Any, Any] = {}
    seen: set[Any] = set()
    left: deque[tuple[Any, Any]] = deque([(roots[0].grad_fn, None)])
    while left and len(seen) < _NODES_READ:
        node, user = left.popleft()
        if node in seen:
            continue
        seen.add(node)
        if _function(node) is not None:
            found[node] = user
            continue
        left += [(before, node) for before, _ in node.next_functions if before is not None]
    if len(found) != 1:
        return {}
    node, user = next(iter(found.items()))
    settings: dict[str, Any] = {"loss.function": _function(node)}
    reduction = _REDUCTIONS.get(getattr(node, "_saved_reduction", -1))
    if reduction is not None:
        settings["loss.reduction"] = reduction
    if settings["loss.function"] == "nll_loss" and _operation(_first(node)) == "LogSoftmax":
        settings["loss.function"] = "cross_entropy"
        settings["loss.label_smoothing"] = _smoothing(user, seen)
    return settings


def _operation(node: Any) -> str:
    """The operation of a node: `MseLoss` of `MseLossBackward0`."""
    return "" if node is None else str(node.name()).partition("Backward")[0]


def _function(node: Any) -> str | None:
    return _FUNCTIONS.get(_operation(node))


def _first(node: Any) -> Any:
    return node.next_functions[0][0] if node.next_functions else None


def _smoothing(user: Any, seen: set[Any]) -> float:
    """The label smoothing of torch's cross-entropy; `user`: the node that uses its likelihood.

    Torch computes (1 - s) * likelihood + s / classes * sum over the classes.
    """
    kept = _scale(user)
    if kept is None:
        return 0.0
    for node in seen:
        parts = [part for part, _ in node.next_functions]
        if _operation(node) == "Add" and user in parts and len(parts) == 2:
            smooth = _scale(parts[1] if parts[0] is user else parts[0])
            share = round(1 - kept, 12)
            classes = share / smooth if smooth else 0.0
            if 0 < share <= 1 and classes > 1.5 and abs(classes - round(classes)) < 1e-6:
                return share
    return 0.0


def _scale(node: Any) -> float | None:
    """The number by which a node multiplies a tensor; None if it does not.

    No saved tensor is read: that could compute a part of the model again.
    """
    by_number = node is not None and node.name() == "MulBackward1"
    scale = node._saved_other if by_number else None
    return float(scale) if isinstance(scale, int | float) else None
