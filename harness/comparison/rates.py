"""Compares learning rates by parameter.

A record holds the distinct rates of each step, and the place of each parameter's rate among them.
So the order of the parameter groups has no effect, and a rate that changes its owner is found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from harness.comparison.alignment import Alignment
from harness.results.arrow import as_numpy, filled
from harness.results.divergence import Divergence, StageDifference
from harness.results.record import RunRecord

__all__ = [
    "NOT_OPTIMIZED",
    "compared_by_parameter",
    "learning_rates",
    "optimized_in_one",
    "rate_faults",
]

NOT_OPTIMIZED = "in no optimizer that stepped"
"""Shown for a parameter that no optimizer updates."""
_NONE = 2  # kind of rate: the parameter is in no optimizer that stepped
_CELLS = 1 << 22  # rates that are expanded at once

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class _Rates:
    """The rates of one run, by step and parameter."""

    values: Array
    """The distinct rates of all steps, as bits."""
    null: Array
    """Whether each of them is null: the optimizer has no rate."""
    starts: Array
    """Where the rates of each step begin."""
    places: Array
    """[steps, parameters]: place of each parameter's rate within its step; -1: none."""

    @classmethod
    def of(cls, table: pa.Table, parameters: int) -> _Rates | None:
        """The rates in rows of the trace `steps`; None if they are not recorded by parameter."""
        rates, owners = table["learning_rate"], table["rate_of"]
        if not parameters or not len(table) or rates.null_count or owners.null_count:
            return None
        lengths = as_numpy(pc.list_value_length(owners)).astype(np.int64)
        if np.any(lengths > parameters) or np.any(np.diff(lengths) < 0) or lengths[-1] < parameters:
            return None
        flat, places = pc.list_flatten(rates), pc.list_flatten(owners)
        sizes = as_numpy(pc.list_value_length(rates)).astype(np.int64)
        if places.null_count:
            return None
        # A parameter that was added later has no rate before.
        of_step = np.full((len(table), parameters), -1, np.int64)
        of_step[np.arange(parameters) < lengths[:, None]] = as_numpy(places)
        if np.any(of_step < -1) or np.any(of_step >= sizes[:, None]):
            return None
        bits = as_numpy(filled(flat, 0.0)).astype(np.float64).view(np.uint64)
        null = np.asarray(pc.is_null(flat).to_numpy(), bool)
        return cls(bits, null, np.cumsum(sizes) - sizes, of_step)

    def expanded(self, steps: slice, columns: Array) -> tuple[Array, Array]:
        """Kind (0: a rate, 1: no rate, 2: not optimized) and bits, [steps, columns]."""
        places = self.places[steps][:, columns]
        at = np.maximum(places, 0) + self.starts[steps][:, None]
        at = np.minimum(at, max(0, len(self.values) - 1))
        if not len(self.values):
            return np.full(places.shape, _NONE), np.zeros(places.shape, np.uint64)
        kinds = np.where(places < 0, _NONE, self.null[at].astype(np.int64))
        return kinds, np.where(kinds == 0, self.values[at], np.uint64(0))

    def unused(self) -> int | None:
        """The first row with a rate that no parameter has; None if there is none."""
        used = np.zeros(len(self.values), bool)
        at = self.places + self.starts[:, None]
        used[at[self.places >= 0]] = True
        if used.all():
            return None
        return int(np.searchsorted(self.starts, int(np.flatnonzero(~used)[0]), side="right")) - 1


def rate_faults(record: RunRecord) -> Iterator[str]:
    """Doubts about rates by parameter that contradict themselves."""
    steps = record.steps
    if not len(steps) or steps["rate_of"].null_count == len(steps):
        return
    rates = _Rates.of(steps, len(record.header.parameter_names))
    if rates is None:
        if not (steps["rate_of"].null_count or steps["learning_rate"].null_count):
            yield "rate_of does not fit its parameters and learning rates"
        return
    row = rates.unused()
    if row is not None:
        step = steps["step"][row].as_py()
        yield f"a learning rate of step {step} belongs to none of its parameters"


def compared_by_parameter(both: Alignment) -> bool:
    """Whether the common steps of both runs have rates by parameter, or one rate for all."""
    tables = both.steps.reference, both.steps.candidate
    if all(_of(both)):
        return True
    return all(
        table["learning_rate"].null_count == 0
        and bool(np.all(as_numpy(pc.list_value_length(table["learning_rate"])) <= 1))
        for table in tables
        if len(table)
    )


def learning_rates(both: Alignment) -> Iterator[StageDifference]:
    """The stage `learning_rate`."""
    trace = both.steps
    one, two = _of(both)
    rows: Array
    if one is None or two is None:
        rows = trace.differing("learning_rate")
        first = None
        if len(rows):
            values = trace.pair("learning_rate", int(rows[0]))
            first = _divergence(int(trace.steps[rows[0]]), *values)
    else:
        ours, theirs, _ = _columns(both)
        rows = _differing(one, two, ours, theirs, len(trace))
        first = None
        if len(rows):
            first = _first(both, one, two, int(rows[0]))
    yield StageDifference(
        stage="learning_rate", compared=len(trace), differing=len(rows), first=first
    )


def _of(both: Alignment) -> tuple[_Rates | None, _Rates | None]:
    pairs = (
        (both.reference, both.steps.reference),
        (both.candidate, both.steps.candidate),
    )
    found = [_Rates.of(table, len(record.header.parameter_names)) for record, table in pairs]
    # A rate without a parameter contradicts the record: then the lists are compared as they are.
    one, two = (None if rates is None or rates.unused() is not None else rates for rates in found)
    return one, two


def _columns(both: Alignment) -> tuple[Array, Array, list[str]]:
    """The places of the common parameters in both runs, and their names."""
    places = {name: at for at, name in enumerate(both.candidate.header.parameter_names)}
    common = [
        (at, places[name], name)
        for at, name in enumerate(both.reference.header.parameter_names)
        if name in places
    ]
    ours, theirs = (np.array([row[side] for row in common], np.int64) for side in (0, 1))
    return ours, theirs, [name for *_, name in common]


def _differing(one: _Rates, two: _Rates, ours: Array, theirs: Array, steps: int) -> Array:
    """The rows in which a parameter has another rate."""
    if np.array_equal(ours, theirs) and all(
        np.array_equal(getattr(one, name), getattr(two, name))
        for name in ("values", "null", "starts", "places")
    ):
        return np.zeros(0, np.int64)
    found = []
    size = max(1, _CELLS // max(1, len(ours)))
    for start in range(0, steps, size):
        part = slice(start, min(start + size, steps))
        kinds, bits = zip(one.expanded(part, ours), two.expanded(part, theirs), strict=True)
        rows = np.any(_other(kinds, bits), axis=1)
        found.append(np.flatnonzero(rows) + start)
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def _first(both: Alignment, one: _Rates, two: _Rates, row: int) -> Divergence:
    """The divergence at one row: the rate of all parameters, or of the first that differs."""
    ours, theirs, names = _columns(both)
    step = int(both.steps.steps[row])
    part = slice(row, row + 1)
    kinds, bits = zip(one.expanded(part, ours), two.expanded(part, theirs), strict=True)
    columns = np.flatnonzero(_other(kinds, bits)[0])
    values = [
        [
            _value(int(kind), number)
            for kind, number in zip(kinds[side][0], bits[side][0], strict=True)
        ]
        for side in (0, 1)
    ]
    both_update = (kinds[0][0] != _NONE) & (kinds[1][0] != _NONE)
    at = int(columns[0])
    sides = [(kinds[side][0][both_update], bits[side][0][both_update]) for side in (0, 1)]
    if all(_alike(kind) and _alike(number) for kind, number in sides):
        return _divergence(step, [values[0][at]], [values[1][at]])
    return _divergence(step, values[0][at], values[1][at]).model_copy(
        update={"tensor": names[at], "tensors_differing": len(columns)}
    )


def _other(kinds: Sequence[Array], bits: Sequence[Array]) -> Array:
    """Where both runs update a parameter, with another rate."""
    both = (kinds[0] != _NONE) & (kinds[1] != _NONE)
    other: Array = both & ((kinds[0] != kinds[1]) | (bits[0] != bits[1]))
    return other


def optimized_in_one(both: Alignment) -> str:
    """The parameters that an optimizer of only one run updates; empty if there are none.

    Such a parameter has no learning rate to compare: its weights differ from the first update on.
    """
    trace = both.steps
    one, two = _of(both)
    if one is None or two is None or not len(trace):
        return ""
    ours, theirs, names = _columns(both)
    left, right = one.places[:, ours] < 0, two.places[:, theirs] < 0
    rows = np.flatnonzero(np.any(left != right, axis=1))
    if not len(rows):
        return ""
    first = rows[0]
    lacking = np.flatnonzero((left != right)[first])
    side = "reference" if left[first][lacking[0]] else "candidate"
    alone = [names[at] for at in lacking if left[first][at] == left[first][lacking[0]]]
    which = alone[0] if len(alone) == 1 else f"{len(alone)} parameters, first {alone[0]},"
    verb = "is" if len(alone) == 1 else "are"
    step = int(trace.steps[first])
    return f"{which} {verb} in no optimizer of the {side} that stepped at step {step}"


def _alike(values: Array) -> bool:
    return bool(np.all(values == values[0]))


def _value(kind: int, bits: Any) -> float | str | None:
    if kind:
        return None if kind == 1 else NOT_OPTIMIZED
    return float(np.uint64(bits).view(np.float64))


def _divergence(step: int, reference: Any, candidate: Any) -> Divergence:
    return Divergence(step=step, stage="learning_rate", reference=reference, candidate=candidate)
