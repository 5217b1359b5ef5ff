"""How much a traced run is to record, and what a record of each level therefore does not hold.

Every level sees each bit and the order of what it records; a lower one records less, and leaves
nulls where it does not look.
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
"""Stages, and columns of the trace `steps`, of which a run at that level knows nothing."""


def not_recorded(*records: RunRecord) -> tuple[str, ...]:
    """Stages that at least one of the records was not asked for, in causal order."""
    absent = {stage for record in records for stage in NOT_RECORDED[record.spec.detail]}
    return tuple(stage for stage in NOT_RECORDED["steps"] if stage in absent)
