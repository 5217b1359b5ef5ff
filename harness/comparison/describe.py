"""What exactly differs at a first divergence, in words with the numbers in them.

Digests say that values differ; here it is said how: which rows, what factor, from which step on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harness.results.arrow import as_numpy, filled
from harness.results.record import RunRecord
from harness.units import number

__all__ = [
    "UNIFORM",
    "factor_detail",
    "factors",
    "highest_rates",
    "order_detail",
    "rate_detail",
    "relative_distance",
    "update_detail",
]

UNIFORM = 1e-4
"""Ratios of norms that lie so close together are one factor: norms are kept in single precision,
and gradients of another scale round otherwise, both of which moves a ratio by about 1e-6."""


_NOISE = 1e-5  # of the largest norm; single precision leaves about 1e-7 of it


def relative_distance(reference: Any, candidate: Any) -> float | None:
    """|candidate - reference| / |reference|; None where that is no number."""
    if not all(isinstance(value, int | float) for value in (reference, candidate)):
        return None
    if not reference or not np.isfinite(reference) or not np.isfinite(candidate):
        return None
    return float(abs(candidate - reference) / abs(reference))


def order_detail(reference: Sequence[int] | None, candidate: Sequence[int] | None) -> str:
    """Which rows of one micro-batch changed place, are missing, or stand twice."""
    if reference is None or candidate is None:
        absent = "reference" if reference is None else "candidate"
        rows = len(reference or candidate or ())
        return f"the {absent} has no such micro-batch, the other side has one of {rows} rows"
    one, two = Counter(reference), Counter(candidate)
    gone, new = list((one - two).elements()), list((two - one).elements())
    twice = [row for row, times in two.items() if times > 1 and times > one[row]]
    if not gone and not new:
        moved = sum(a != b for a, b in zip(reference, candidate, strict=True))
        return f"the same {len(reference)} rows, {moved} of them in another place"
    parts = []
    if twice:
        parts.append(f"{_rows(twice)} {'stands' if len(twice) == 1 else 'stand'} twice")
    if gone:
        parts.append(f"{_rows(gone)} missing")
    others = [row for row in new if row not in twice]
    if others:
        parts.append(f"{_rows(others)} instead")
    return ", ".join(parts)


def _rows(rows: Sequence[int]) -> str:
    if len(rows) > 4:
        return f"{len(rows)} rows"
    return ("row " if len(rows) == 1 else "rows ") + ", ".join(map(str, rows))


def highest_rates(record: RunRecord) -> list[float]:
    """The highest learning rate of each step; NaN where there is none."""
    column = record.steps["learning_rate"]
    sizes = as_numpy(filled(pc.list_value_length(column), 0)).astype(np.int64)
    starts = np.cumsum(sizes) - sizes
    highest = np.full(len(sizes), np.nan)
    some = sizes > 0
    if some.any():
        highest[some] = np.maximum.reduceat(as_numpy(pc.list_flatten(column)), starts[some])
    rates: list[float] = highest.tolist()
    return rates


def rate_detail(reference: Sequence[float], candidate: Sequence[float], first: int) -> str:
    """Ratio of the learning rates from step `first` on (counted from 1), to the last of both."""
    ratios = [
        two / one
        for one, two in zip(reference[first - 1 :], candidate[first - 1 :], strict=False)
        if one
    ]
    if not ratios:
        return ""
    if max(ratios) - min(ratios) <= UNIFORM * abs(ratios[0]):
        return f"{number(ratios[0])} times the reference's from step {first} on"
    last = first + len(ratios) - 1
    return (
        f"{number(ratios[0])} times the reference's at step {first}, "
        f"{number(ratios[-1])} times at step {last}"
    )


def norms_at(record: RunRecord, step: int, column: str) -> dict[str, float]:
    """A column of the trace `norms` at one step, by tensor; empty where it was not recorded."""
    table = record.norms
    if not len(table):
        return {}
    rows = table.filter(pc.equal(table["step"], pa.scalar(step, pa.int32())))
    pairs = zip(rows["tensor"].to_pylist(), rows[column].to_pylist(), strict=True)
    return {name: value for name, value in pairs if value is not None}


def factors(
    reference: RunRecord, candidate: RunRecord, step: int, column: str = "gradient"
) -> dict[str, float]:
    """Candidate over reference, by tensor: of the norms of both at one step.

    Without those of tensors whose gradient is nothing but rounding, such as that of a bias before
    a softmax, which mathematics makes zero.
    """
    one, two = norms_at(reference, step, column), norms_at(candidate, step, column)
    least = [_NOISE * max(norms.values(), default=0.0) for norms in (one, two)]
    return {
        name: two[name] / one[name]
        for name in one
        if name in two and one[name] > least[0] and two[name] > least[1]
    }


def one_factor(ratios: dict[str, float]) -> float | None:
    """The factor by which all of them differ; None where it is not the same for all."""
    values = [value for value in ratios.values() if np.isfinite(value)]
    if not values or len(values) < len(ratios):
        return None
    low, high = min(values), max(values)
    return float(np.median(values)) if high - low <= UNIFORM * high else None


def factor_detail(ratios: dict[str, float], differing: int) -> str:
    """Whether one factor explains the gradients of all tensors, or those of some."""
    if not ratios:
        return ""
    whole = one_factor(ratios)
    if whole is not None and abs(whole - 1) > UNIFORM:
        return f"one factor, {number(whole)}, explains the gradients of all {len(ratios)} tensors"
    apart = {name: ratio for name, ratio in ratios.items() if abs(ratio - 1) > UNIFORM}
    if not apart:
        return f"{differing} of {len(ratios)} tensors differ, none by more than 1e-4 in its norm"
    part = one_factor(apart)
    if part is not None and len(apart) < len(ratios):
        return (
            f"one factor, {number(part)}, explains {len(apart)} of {len(ratios)} tensors, "
            f"first {next(iter(apart))}"
        )
    name = max(apart, key=lambda tensor: abs(apart[tensor] - 1))
    return (
        f"the norms of {len(apart)} of {len(ratios)} tensors differ, most that of {name}, "
        f"{number(apart[name])} times the reference's"
    )


def update_detail(reference: RunRecord, candidate: RunRecord, step: int) -> str:
    """Whether one side's weights were changed by something else than the update at `step`, or its
    gradients were scaled otherwise before it."""
    outside = [_changed_outside(record, step) for record in (reference, candidate)]
    if outside[0] != outside[1]:
        who = "candidate" if outside[1] else "reference"
        return f"after the update something else changed weights of the {who}"
    scales = []
    for record in (reference, candidate):
        raw, applied = norms_at(record, step, "gradient"), norms_at(record, step, "applied")
        ratios = {name: applied[name] / raw[name] for name in raw if raw[name] and name in applied}
        if not ratios:
            return ""
        scales.append((one_factor(ratios), ratios))
    (one, ones), (two, twos) = scales
    if one is not None and two is not None:
        if abs(two - one) <= UNIFORM * one:
            return ""
        return (
            f"before the update the reference scales its gradients by {number(one)}, the "
            f"candidate by {number(two)}"
        )
    apart = [name for name in ones if name in twos and not _close(twos[name], ones[name])]
    if not apart:
        return ""
    name = max(apart, key=lambda tensor: abs(twos[tensor] / ones[tensor] - 1))
    return (
        f"the gradients of {len(apart)} of {len(ones)} tensors are changed before the update on "
        f"one side alone, most that of {name}, by {number(twos[name] / ones[name])}"
    )


def _changed_outside(record: RunRecord, step: int) -> bool:
    seen = record.header.observed.get("weights_changed_outside_update", ())
    return step in [one.step for one in seen]


def _close(value: float, other: float) -> bool:
    """Whether two ratios of norms are the same, as far as single precision tells."""
    return abs(value - other) <= UNIFORM * abs(other)
