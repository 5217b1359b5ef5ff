"""Drops causes that the first differing operation contradicts.

If the same operation reads equal values in both runs, only its own arguments, or how it is
computed, can be the cause of the first divergence. A cause that says something else is false.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.comparison.causes.table import TABLE
from harness.results.comparison import Cause
from harness.results.localization import OperationDifference

__all__ = ["without_contradicted"]

_OPTIMIZERS = ("_adam", "_sgd", "_adagrad", "_fused_")
_COMPUTED = frozenset({"thread-count", "environment-wins"})
"""Causes by which an operation gives another output from equal inputs."""
_DECAY = frozenset({"weight-decay-default", "bias-and-norm-decayed"})
_RATE = frozenset(rule.id for rule in TABLE if "learning_rate" in rule.explains)
_CLIP = frozenset(rule.id for rule in TABLE if "clip" in rule.id)


def without_contradicted(
    causes: Sequence[Cause], operation: OperationDifference | None
) -> tuple[Cause, ...]:
    """The causes, without those of the first divergence that the operation contradicts."""
    possible = None if operation is None else _possible(operation)
    if possible is None:
        return tuple(causes)
    return tuple(one for one in causes if not one.explains_first or one.id in possible)


def _possible(operation: OperationDifference) -> frozenset[str] | None:
    """The causes that agree with the operation; None if nothing is known."""
    if operation.kind == "output":
        return _COMPUTED
    shown = operation.reference
    if operation.kind != "arguments" or shown is None:
        return None
    names = {name for name, _, _ in operation.arguments}
    if any(part in shown.operation for part in _OPTIMIZERS):
        possible = (_RATE if "lr" in names else frozenset()) | (
            _DECAY if "weight_decay" in names else frozenset()
        )
        return frozenset(possible)
    return _CLIP if "clip" in shown.source else None
