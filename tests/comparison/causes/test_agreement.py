"""A cause that the first differing operation contradicts is not named."""

from __future__ import annotations

import pytest

from harness.comparison.causes.agreement import agreeing, proven
from harness.comparison.causes.table import TABLE
from harness.results.comparison import Cause
from harness.results.localization import Operation, OperationDifference

CLIP = "torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)"


def causes(*ids: str, first: bool = True) -> tuple[Cause, ...]:
    known = {rule.id for rule in TABLE}
    assert set(ids) <= known
    return tuple(
        Cause(id=one, title=one, evidence="e", remedy="r", explains_first=first) for one in ids
    )


def found(kind: str, name: str, argument: str = "", source: str = "") -> OperationDifference:
    operation = Operation(operation=name, phase="update", place="a.py:1", source=source)
    return OperationDifference.model_validate(
        {
            "kind": kind,
            "reference": operation,
            "candidate": operation,
            "arguments": ((argument, "1", "2"),) if argument else (),
        }
    )


RATE = found("arguments", "aten._fused_adamw_", "lr")
DECAY = found("arguments", "aten._fused_adamw_", "weight_decay")
EPS = found("arguments", "aten._fused_adamw_", "eps")
NORM = found("arguments", "aten.mul.Tensor", "other", CLIP)
KERNEL = found("output", "aten.addmm")
OTHERS = found("others", "aten.addmm")


@pytest.mark.parametrize(
    ("operation", "kept"),
    [
        (RATE, ["schedule-off-by-one"]),
        (DECAY, ["weight-decay-default"]),
        (EPS, []),
        (NORM, ["clip-norm-differs"]),
        (KERNEL, ["thread-count"]),
        (OTHERS, None),
        (None, None),
    ],
)
def test_only_causes_that_agree_are_kept(
    operation: OperationDifference | None, kept: list[str] | None
) -> None:
    """`None`: the operation says nothing about causes, so all are kept."""
    named = causes(
        "schedule-off-by-one", "weight-decay-default", "clip-norm-differs", "thread-count"
    )
    left = agreeing(named, operation)
    expected = [one.id for one in named] if kept is None else kept
    assert expected == [one.id for one in left]


def test_causes_of_later_differences_are_kept() -> None:
    """The operation is that of the first divergence."""
    later = causes("clip-norm-differs", first=False)
    assert later == agreeing(later, EPS)
    assert () == agreeing(causes("clip-norm-differs"), EPS)


@pytest.mark.parametrize(
    ("operation", "kept"),
    [
        (RATE, ["schedule-off-by-one"]),
        (DECAY, ["weight-decay-default"]),
        (EPS, []),
        (NORM, ["clip-norm-differs"]),
        (KERNEL, ["thread-count"]),
        (OTHERS, ["thread-count"]),
        (None, ["thread-count"]),
    ],
)
def test_of_two_programs_only_what_is_proven_is_kept(
    operation: OperationDifference | None, kept: list[str]
) -> None:
    """Threads are a recorded setting; the others are inferred from values."""
    named = causes(
        "schedule-off-by-one", "weight-decay-default", "clip-norm-differs", "thread-count"
    )
    assert kept == [one.id for one in proven(named, operation)]
    later = causes("clip-norm-differs", first=False)
    assert () == proven(later, operation)
