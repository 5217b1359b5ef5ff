"""Describes how gradients differ, and what changed them before the update: factors and tensors.

A digest shows that tensors differ. Their norms show by which factor, and in how many tensors.
"""

from __future__ import annotations

import numpy as np
import pyarrow.compute as pc

from harness.results.arrow import int32
from harness.results.divergence import Divergence
from harness.results.record import RunRecord
from harness.units import counted, number

__all__ = [
    "UNIFORM",
    "factor_detail",
    "factors",
    "gradient_detail",
    "norms_at",
    "one_factor",
    "ratios_applied",
    "scaled_detail",
    "update_detail",
]

UNIFORM = 1e-4
"""Relative spread below which ratios of norms are one factor. Norms are stored in single precision,
and scaled gradients round differently. Each effect changes a ratio by about 1e-6."""
_NOISE = 1e-5  # share of the largest norm; single precision resolves about 1e-7 of it


def norms_at(record: RunRecord, step: int, column: str) -> dict[str, float]:
    """A column of the trace `norms` at one step, by tensor; empty if it was not recorded."""
    table = record.norms
    if not len(table):
        return {}
    rows = table.filter(pc.equal(table["step"], int32(step)))
    pairs = zip(rows["tensor"].to_pylist(), rows[column].to_pylist(), strict=True)
    return {name: value for name, value in pairs if value is not None}


def factors(
    reference: RunRecord, candidate: RunRecord, step: int, column: str = "gradient"
) -> dict[str, float]:
    """Ratio candidate / reference of the norms at one step, by tensor.

    Tensors whose gradient is only rounding error are left out. An example is a bias before a
    softmax, whose exact gradient is zero.
    """
    one, two = norms_at(reference, step, column), norms_at(candidate, step, column)
    least = [_NOISE * max(norms.values(), default=0.0) for norms in (one, two)]
    return {
        name: two[name] / one[name]
        for name in one
        if name in two and one[name] > least[0] and two[name] > least[1]
    }


def one_factor(ratios: dict[str, float]) -> float | None:
    """The common value of all ratios; None if they are not equal within `UNIFORM`."""
    values = [value for value in ratios.values() if np.isfinite(value)]
    if not values or len(values) < len(ratios):
        return None
    low, high = min(values), max(values)
    return float(np.median(values)) if high - low <= UNIFORM * high else None


def gradient_detail(reference: RunRecord, candidate: RunRecord, step: int, differing: int) -> str:
    """How the raw gradients at one step differ; `differing`: number of tensors, 0 if unknown."""
    one, two = (norms_at(record, step, "gradient") for record in (reference, candidate))
    for other, norms, others in (("candidate", one, two), ("reference", two, one)):
        least = _NOISE * max(norms.values(), default=0.0)  # smaller ones are only rounding
        sizable = [name for name, norm in norms.items() if norm > least] if others else []
        for names, what in (
            ([name for name in sizable if name not in others], "no gradient"),
            ([name for name in sizable if others.get(name) == 0], "a gradient of zero"),
        ):
            if names:
                return _lacking(names, what, other)
    ratios = factors(reference, candidate, step)
    common = sum(1 for name, norm in one.items() if name in two and (norm or two[name]))
    return factor_detail(ratios, differing, common)


def _lacking(names: list[str], what: str, side: str) -> str:
    if len(names) == 1:
        return f"{names[0]} has {what} in the {side} only"
    return f"{_tensors(len(names))} have {what} in the {side} only, first {names[0]}"


def factor_detail(ratios: dict[str, float], differing: int, common: int = 0) -> str:
    """Whether one factor explains the gradients of all tensors or of some of them.

    `differing`: tensors that differ in a bit, 0 if unknown. `common`: tensors with a gradient in
    both runs; of those that are not in `ratios` it is only rounding error.
    """
    if not ratios:
        return ""
    small = max(0, common - len(ratios))
    rest = ""
    if small:
        those = "that of the other one is" if small == 1 else f"those of the other {small} are"
        rest = f"; {those} only rounding error"
    total = _of(len(ratios), len(ratios) + small)
    whole = one_factor(ratios)
    if whole is not None and abs(whole - 1) > UNIFORM:
        if len(ratios) == 1:
            return f"the gradient of {total} differs by the factor {_factor(whole)}{rest}"
        return f"the gradients of {total} differ by one factor, {_factor(whole)}{rest}"
    scaled = {name: ratio for name, ratio in ratios.items() if abs(ratio - 1) > UNIFORM}
    if not scaled:
        which = f" of {_tensors(differing)}" if differing else ""
        return f"the gradients{which} differ, no norm by more than 1e-4 of its value"
    factor = one_factor(scaled)
    of = _of(len(scaled), len(ratios) + small)
    if factor is not None and len(scaled) < len(ratios):
        if len(scaled) == 1:
            return f"the gradient of {next(iter(scaled))} differs by the factor {_factor(factor)}"
        return (
            f"the gradients of {of} differ by one factor, {_factor(factor)}; the first is "
            f"{next(iter(scaled))}"
        )
    name = max(scaled, key=lambda tensor: abs(scaled[tensor] - 1))
    if len(scaled) == 1:
        return f"the gradient norm of {name} differs, by the factor {_factor(scaled[name])}"
    return (
        f"the gradient norms of {of} differ; the largest change is that of {name}, by the factor "
        f"{_factor(scaled[name])}"
    )


def _of(some: int, total: int) -> str:
    """'all 41 tensors', '39 of 41 tensors'."""
    if some == total:
        return f"all {_tensors(total)}" if total > 1 else "1 tensor"
    return f"{some} of {_tensors(total)}"


def _factor(value: float) -> str:
    """A factor that is not 1, with as many digits as show that."""
    digits = next((n for n in range(4, 9) if number(value, n) != "1"), 9)
    return f"{number(value, digits)} (candidate / reference)"


def scaled_detail(reference: RunRecord, candidate: RunRecord, first: Divergence) -> str:
    """The factor by which a loss that goes backward is scaled, if the gradients have it too.

    A loss that is computed in another way also has a ratio, but its gradients have no factor.
    """
    if not isinstance(first.reference, float) or not isinstance(first.candidate, float):
        return ""
    factor = one_factor(factors(reference, candidate, first.step))
    if factor is None or abs(factor - 1) <= UNIFORM or not first.reference:
        return ""
    ratio = first.candidate / first.reference
    if not _close(ratio, factor):
        return ""
    return f"by the factor {_factor(factor)}"


def _tensors(count: int) -> str:
    return counted(count, "tensor")


def update_detail(reference: RunRecord, candidate: RunRecord, step: int) -> str:
    """What changed the weights of one run besides the update at `step`, or scaled its gradients."""
    outside = [_changed_outside(record, step) for record in (reference, candidate)]
    if outside[0] != outside[1]:
        who = "candidate" if outside[1] else "reference"
        return f"code outside the update changed weights of the {who}"
    scales = []
    for record in (reference, candidate):
        ratios = ratios_applied(record, step)
        if not ratios:
            return ""
        scales.append((one_factor(ratios), ratios))
    (one, ones), (two, twos) = scales
    if one is not None and two is not None:
        if abs(two - one) <= UNIFORM * one:
            return ""
        if min(abs(one - 1), abs(two - 1)) > UNIFORM and min(one, two) > 0:
            return (
                f"before the update the reference scales its gradients by {number(one)}, the "
                f"candidate by {number(two)}"
            )
        return f"before the update the reference {_scales(one)}, the candidate {_scales(two)}"
    changed = [name for name in ones if name in twos and not _close(twos[name], ones[name])]
    if not changed:
        return ""
    name = max(changed, key=lambda tensor: abs(twos[tensor] / ones[tensor] - 1))
    common = sum(name in twos for name in ones)
    return (
        f"before the update the two runs change the gradients of {_of(len(changed), common)} "
        f"differently; the largest difference is that of {name}, by the factor "
        f"{_factor(twos[name] / ones[name])}"
    )


def _scales(factor: float) -> str:
    if abs(factor - 1) <= UNIFORM:
        return "does not change its gradients"
    if not factor:
        return "sets its gradients to zero"
    return f"scales its gradients by {number(factor)}"


def ratios_applied(record: RunRecord, step: int) -> dict[str, float]:
    """Norm of the gradient that an update used over that of the raw gradient, by tensor."""
    raw, applied = norms_at(record, step, "gradient"), norms_at(record, step, "applied")
    return {name: applied[name] / raw[name] for name in raw if raw[name] and name in applied}


def _changed_outside(record: RunRecord, step: int) -> bool:
    seen = record.header.observed.get("weights_changed_outside_update", ())
    return step in [one.step for one in seen]


def _close(value: float, other: float) -> bool:
    """Whether two ratios of norms are equal within `UNIFORM`."""
    return abs(value - other) <= UNIFORM * abs(other)
