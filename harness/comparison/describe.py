"""Describes a first divergence: which rows, which factor, from which step on.

A digest shows that values differ. These sentences state how they differ, with the numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc

from harness.comparison.factors import UNIFORM
from harness.report.text.values import shown
from harness.results.arrow import as_numpy, filled
from harness.results.divergence import Divergence
from harness.results.record import RunRecord
from harness.units import counted, number

__all__ = [
    "evaluation_detail",
    "highest_rates",
    "order_detail",
    "rate_detail",
    "relative_distance",
]


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
    Rows are given by number, or by digest, which is counted and not shown. The number -1 stands for
    a row that the training set does not hold.
    """
    if reference is None or candidate is None:
        runs = ("reference", "candidate")
        absent, present = runs if reference is None else runs[::-1]
        rows = len(reference or candidate or ())
        return f"only the {present} has this micro-batch ({_count(rows)}), the {absent} does not"
    one, two = Counter(reference), Counter(candidate)
    gone, new = list((one - two).elements()), list((two - one).elements())
    if not gone and not new:
        moved = sum(a != b for a, b in zip(reference, candidate, strict=True))
        return f"the same {_count(len(reference))} in another order, {moved} of them moved"
    again = [row for row in new if two[row] > 1 and row != UNKNOWN_ROW]
    others = [row for row in new if row not in again]
    changes, sizes = [], ""
    if len(reference) != len(candidate):
        sizes = f"{_count(len(candidate))} against {len(reference)}: "
    if again:
        distinct = list(dict.fromkeys(again))
        often = f" {len(again)} times in all" if len(again) > len(distinct) else ""
        changes.append(f"{_rows(distinct)} repeated{often}")
    if gone:
        changes.append(f"{_rows(gone)} missing")
    if others:
        changes.append(f"{_rows(others)} unexpected")
    if same_overall and not sizes:
        overall = "another order: over all steps, both runs read the same rows equally often"
        return f"{overall}; here {', '.join(changes)}"
    return sizes + "; ".join(changes)


UNKNOWN_ROW = -1
"""Number of a row that the training set does not hold."""


def _rows(rows: Sequence[int | str]) -> str:
    """'rows 3, 7 and 1 row that is not in the training set'."""
    known: list[Any] = [row for row in rows if row != UNKNOWN_ROW]
    parts = []
    if len(known) > 4 or any(isinstance(row, str) for row in known):
        parts.append(_count(len(known)))
    elif known:
        parts.append(("row " if len(known) == 1 else "rows ") + ", ".join(map(str, sorted(known))))
    unknown = len(rows) - len(known)
    if unknown:
        parts.append(f"{_count(unknown)} that {'is' if unknown == 1 else 'are'} not in the set")
    return " and ".join(parts)


def _count(rows: int) -> str:
    return counted(rows, "row")


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
    ends = [None if np.isnan(rate) else rate for rate in later[-1]] if len(later) > 1 else [0, 0]
    if ends[0] != ends[1]:
        text += f", {_pair(ends[1], ends[0])} at step {last}"
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


def evaluation_detail(reference: Any, candidate: Any, in_training_set: int = 0) -> str:
    """The numbers of rows of two evaluations, if they differ.

    `in_training_set`: number of rows of the training set, 0 if it is not known.
    """
    if not (isinstance(reference, dict) and isinstance(candidate, dict)):
        return ""
    one, two = reference.get("rows"), candidate.get("rows")
    if one == two or one is None or two is None:
        return ""
    verb = "is" if two == 1 else "are"
    text = f"{counted(two, 'row')} {verb} evaluated against {one}"
    if in_training_set in (one, two):
        text += f"; the training set has {in_training_set}"
    return text
