"""The levels of detail of a traced run, and what a record of each level does not hold.

Every level compares what it records bit for bit and in order. A lower level records less and leaves
nulls for the rest.
"""

from __future__ import annotations

from harness.results.record import RunRecord
from harness.spec.recipe import Detail

__all__ = ["NOT_RECORDED", "not_recorded"]

NOT_RECORDED: dict[Detail, tuple[str, ...]] = {
    "steps": ("gradients", "grad_norm", "weights", "optimizer_state"),
    "weights": ("optimizer_state",),
    "full": (),
}
"""Stages, which are columns of the trace `steps`, that a run at each level does not record."""


def not_recorded(*records: RunRecord) -> tuple[str, ...]:
    """Stages that the detail of at least one record leaves out, in causal order."""
    absent = {stage for record in records for stage in NOT_RECORDED[record.spec.detail]}
    return tuple(stage for stage in NOT_RECORDED["steps"] if stage in absent)
