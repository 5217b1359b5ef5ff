"""The difference of two records over a window of steps."""

from __future__ import annotations

import numpy as np

from harness.comparison.noise.series import RunSeries
from harness.comparison.stages import compare_stages
from harness.errors import RecordError
from harness.results.divergence import Divergence
from harness.results.explanation import Gap
from harness.results.record import RunRecord

__all__ = ["first_value_divergence", "measure_gap"]


def first_value_divergence(
    one: RunRecord, two: RunRecord, last: int | None = None
) -> Divergence | None:
    """The first divergence of computed values up to step `last`; None: no value differs.

    Settings do not count, since a field may differ without effect. Raises `RecordError` if a trace
    is damaged.
    """
    firsts = [found.first for found in compare_stages(one, two) if found.stage != "config"]
    within = [d for d in firsts if d is not None and (last is None or d.step <= last)]
    return min(within, key=lambda divergence: divergence.place, default=None)


def measure_gap(one: RunRecord, two: RunRecord, last: int) -> Gap:
    """The difference of `two` from `one` up to step `last`, or up to their last common step.

    Values are None if a record holds no sketches of the weights.
    """
    first = first_value_divergence(one, two, last)
    place = {"step": first.step, "stage": first.stage} if first else {}
    try:
        left, right = RunSeries.of(one), RunSeries.of(two)
    except RecordError:
        return Gap(**place)
    steps = min(last, len(left.loss), len(right.loss))
    if not steps or left.tensors != right.tensors:
        return Gap(**place)
    distance = float(np.sqrt(np.square(right.weights[steps] - left.weights[steps]).sum()))
    movement = float(np.sqrt(np.square(left.movement[steps]).sum()))
    return Gap(
        **place,
        loss=float(np.abs(right.loss[:steps] - left.loss[:steps]).max()),
        weights=distance / movement if movement else None,
    )
