"""Drops causes that the first differing operation contradicts, or does not prove.

If the same operation reads equal values in both runs, only its own arguments, or how it is
computed, can be the cause of the first divergence. A cause that says something else is false.

The signature of a cause is what a mistake leaves behind in one of two versions of a program. Two
programs written differently leave such traces without any mistake: in two sets of faults written
blind, 10 of the 11 causes named for such pairs were false. So causes of two programs are dropped,
unless the operation proves them or a recorded setting states them.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.comparison.causes import settings
from harness.comparison.causes.table import TABLE
from harness.results.comparison import Cause
from harness.results.localization import OperationDifference

__all__ = ["agreeing", "proven"]

_OPTIMIZERS = ("_adam", "_sgd", "_adagrad", "_fused_")
_COMPUTED = frozenset({"thread-count", "environment-wins"})
"""Causes by which an operation gives another output from equal inputs."""
_STATED = frozenset(rule.id for rule in settings.RULES)
"""Causes that recorded settings state, whatever the programs are."""
_DECAY = frozenset({"weight-decay-default", "bias-and-norm-decayed"})
_RATE = frozenset(rule.id for rule in TABLE if "learning_rate" in rule.explains)
_CLIP = frozenset(rule.id for rule in TABLE if "clip" in rule.id)


def agreeing(causes: Sequence[Cause], operation: OperationDifference | None) -> tuple[Cause, ...]:
    """The causes, without those of the first divergence that the operation contradicts."""
    possible = None if operation is None else _possible(operation)
    if possible is None:
        return tuple(causes)
    return tuple(one for one in causes if not one.explains_first or one.id in possible)


def proven(causes: Sequence[Cause], operation: OperationDifference | None) -> tuple[Cause, ...]:
    """The causes of two programs that the operation proves, or that settings state."""
    possible = (None if operation is None else _possible(operation)) or frozenset()
    return tuple(
        one
        for one in agreeing(causes, operation)
        if one.id in _STATED or (one.explains_first and one.id in possible)
    )


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
