"""Describes a first divergence: which rows, which factor, from which step on.

A digest shows that values differ. These sentences state how they differ, with the numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harness.report.text.values import shown
from harness.results.arrow import as_numpy, filled
from harness.results.divergence import Divergence
from harness.results.record import RunRecord
from harness.units import number

__all__ = [
    "UNIFORM",
    "evaluation_detail",
    "factor_detail",
    "factors",
    "gradient_detail",
    "highest_rates",
    "order_detail",
    "rate_detail",
    "relative_distance",
    "scaled_detail",
    "update_detail",
]

UNIFORM = 1e-4
"""Relative spread below which ratios of norms are one factor. Norms are stored in single precision,
and scaled gradients round differently. Each effect changes a ratio by about 1e-6."""

_NOISE = 1e-5  # share of the largest norm; single precision resolves about 1e-7 of it


def relative_distance(reference: Any, candidate: Any) -> float | None:
    """|candidate - reference| / |reference|; None if that is not a finite number."""
    if not all(isinstance(value, int | float) for value in (reference, candidate)):
        return None
    if not reference or not np.isfinite(reference) or not np.isfinite(candidate):
        return None
    return float(abs(candidate - reference) / abs(reference))


def order_detail(
    reference: Sequence[int | str] | None,
    candidate: Sequence[int | str] | None,
    same_overall: bool = False,
) -> str:
    """Which rows of one micro-batch or update are moved, repeated, missing or unexpected.

    `same_overall`: over all steps, both runs read the same rows equally often.
    Rows are given by number, or by digest, which is counted and not shown.
    """
    if reference is None or candidate is None:
        runs = ("reference", "candidate")
        absent, present = runs if reference is None else runs[::-1]
        rows = len(reference or candidate or ())
        return f"only the {present} has this micro-batch ({_count(rows)}), the {absent} does not"
    one, two = Counter(reference), Counter(candidate)
    gone, new = list((one - two).elements()), list((two - one).elements())
    twice = [row for row, times in two.items() if times > 1 and times > one[row]]
    if not gone and not new:
        moved = sum(a != b for a, b in zip(reference, candidate, strict=True))
        return f"the same {_count(len(reference))} in another order, {moved} of them moved"
    changes = []
    if twice:
        changes.append(f"{_rows(twice)} repeated")
    if gone:
        changes.append(f"{_rows(gone)} missing")
    others = [row for row in new if row not in twice]
    if others:
        changes.append(f"{_rows(others)} unexpected")
    if same_overall:
        overall = "another order: over all steps, both runs read the same rows equally often"
        return f"{overall}; here {', '.join(changes)}"
    return "; ".join(changes)


def _rows(rows: Sequence[int | str]) -> str:
    if len(rows) > 4 or any(isinstance(row, str) for row in rows):
        return _count(len(rows))
    return ("row " if len(rows) == 1 else "rows ") + ", ".join(map(str, rows))


def _count(rows: int) -> str:
    return "1 row" if rows == 1 else f"{rows} rows"


def highest_rates(record: RunRecord) -> list[float]:
    """The highest learning rate of each step; NaN if a step has none."""
    column = record.steps["learning_rate"]
    sizes = as_numpy(filled(pc.list_value_length(column), 0)).astype(np.int64)
    starts = np.cumsum(sizes) - sizes
    highest = np.full(len(sizes), np.nan)
    some = sizes > 0
    if some.any():
        highest[some] = np.maximum.reduceat(as_numpy(pc.list_flatten(column)), starts[some])
    rates: list[float] = highest.tolist()
    return rates


def rate_detail(first: Divergence, reference: Sequence[float], candidate: Sequence[float]) -> str:
    """Both learning rates at the first divergence, and how they go on.

    `reference`, `candidate`: the highest rate of each step.
    """
    one, two = (_only(value) for value in (first.reference, first.candidate))
    text = f"{_pair(two, one)} at step {first.step}"
    if first.tensor is not None:
        count = first.tensors_differing or 1
        others = f"; {count} parameters have another rate" if count > 1 else ""
        return f"{first.tensor}: {text}{others}"
    later = list(zip(reference[first.step - 1 :], candidate[first.step - 1 :], strict=False))
    ratios = [b / a for a, b in later if a and np.isfinite(b / a)]
    if ratios and len(ratios) == len(later):
        uniform = max(ratios) - min(ratios) <= UNIFORM * abs(ratios[0])
        if uniform and abs(ratios[0] - 1) > UNIFORM:
            return f"{text}; candidate / reference is {number(ratios[0])} from there on"
    last = first.step + len(later) - 1
    if len(later) > 1 and later[-1][0] != later[-1][1]:
        text += f", {_pair(later[-1][1], later[-1][0])} at step {last}"
    return text


def _only(value: Any) -> Any:
    """The value of a list of one; else the value."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _pair(candidate: Any, reference: Any) -> str:
    """'5e-05 against 0', with as many digits as show the difference."""
    one, two = (shown(value) for value in (candidate, reference))
    if isinstance(candidate, float) and isinstance(reference, float):
        short = number(candidate), number(reference)
        exact = repr(candidate), repr(reference)
        one, two = short if short[0] != short[1] else (one, two) if one != two else exact
    return f"{one} against {two}"


def evaluation_detail(reference: Any, candidate: Any) -> str:
    """The numbers of rows of two evaluations, if they differ."""
    if not (isinstance(reference, dict) and isinstance(candidate, dict)):
        return ""
    one, two = reference.get("rows"), candidate.get("rows")
    return "" if one == two else f"{two} rows are evaluated against {one}"


def norms_at(record: RunRecord, step: int, column: str) -> dict[str, float]:
    """A column of the trace `norms` at one step, by tensor; empty if it was not recorded."""
    table = record.norms
    if not len(table):
        return {}
    rows = table.filter(pc.equal(table["step"], pa.scalar(step, pa.int32())))
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
    for owner, norms, others in (("reference", one, two), ("candidate", two, one)):
        least = _NOISE * max(norms.values(), default=0.0)
        only = [name for name, norm in norms.items() if norm and not others.get(name)]
        if others and any(norms[name] > least for name in only):  # not only rounding
            return f"only the {owner} has gradients of {_tensors(len(only))}, first {only[0]}"
    return factor_detail(factors(reference, candidate, step), differing)


def factor_detail(ratios: dict[str, float], differing: int) -> str:
    """Whether one factor explains the gradients of all tensors or of some of them."""
    if not ratios:
        return ""
    whole = one_factor(ratios)
    if whole is not None and abs(whole - 1) > UNIFORM:
        return (
            f"the gradients of {len(ratios)} of {_tensors(len(ratios))} differ by one factor, "
            f"{number(whole)} (candidate / reference)"
        )
    scaled = {name: ratio for name, ratio in ratios.items() if abs(ratio - 1) > UNIFORM}
    if not scaled:
        which = f" of {_tensors(differing)}" if differing else ""
        return f"the gradients{which} differ, no norm by more than 1e-4 of its value"
    factor = one_factor(scaled)
    if factor is not None and len(scaled) < len(ratios):
        return (
            f"the gradients of {len(scaled)} of {_tensors(len(ratios))} differ by one factor, "
            f"{number(factor)} (candidate / reference); the first is {next(iter(scaled))}"
        )
    name = max(scaled, key=lambda tensor: abs(scaled[tensor] - 1))
    return (
        f"the gradient norms of {len(scaled)} of {_tensors(len(ratios))} differ; the largest "
        f"change is that of {name}, by the factor {number(scaled[name])} (candidate / reference)"
    )


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
    return f"by the factor {number(factor)} (candidate / reference)"


def _tensors(count: int) -> str:
    return "1 tensor" if count == 1 else f"{count} tensors"


def update_detail(reference: RunRecord, candidate: RunRecord, step: int) -> str:
    """What changed the weights of one run besides the update at `step`, or scaled its gradients."""
    outside = [_changed_outside(record, step) for record in (reference, candidate)]
    if outside[0] != outside[1]:
        who = "candidate" if outside[1] else "reference"
        return f"code outside the update changed weights of the {who}"
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
    changed = [name for name in ones if name in twos and not _close(twos[name], ones[name])]
    if not changed:
        return ""
    name = max(changed, key=lambda tensor: abs(twos[tensor] / ones[tensor] - 1))
    return (
        f"before the update the two runs change the gradients of {len(changed)} of "
        f"{_tensors(len(ones))} differently; the largest difference is that of {name}, by the "
        f"factor {number(twos[name] / ones[name])} (candidate / reference)"
    )


def _changed_outside(record: RunRecord, step: int) -> bool:
    seen = record.header.observed.get("weights_changed_outside_update", ())
    return step in [one.step for one in seen]


def _close(value: float, other: float) -> bool:
    """Whether two ratios of norms are equal within `UNIFORM`."""
    return abs(value - other) <= UNIFORM * abs(other)
