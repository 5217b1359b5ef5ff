"""The time series of two runs, read from the records in the folder of a report.

Nothing is judged here: outcomes come from the comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from harness.errors import RecordError
from harness.results.arrow import as_numpy, filled
from harness.results.comparison import Comparison
from harness.results.record import RunRecord
from harness.results.report import Report, RunSummary

__all__ = [
    "COLUMNS",
    "Curve",
    "Curves",
    "PairCurves",
    "TimeSeries",
    "non_finite",
    "read_curves",
    "reduced",
]

Array = npt.NDArray[np.float64]

COLUMNS = 400
"""Columns of pixels in a plot; the steps of a curve are divided among them."""
_MOST = 4
"""Pairs whose curves are drawn, those that are not identical first."""
_QUANTITIES = {
    "loss": "training loss",
    "learning_rate": "learning rate",
    "grad_norm": "norm of the raw gradients",
}


@dataclass(frozen=True)
class TimeSeries:
    """One recorded quantity of one run: two arrays [steps]."""

    steps: Array
    values: Array

    @property
    def finite(self) -> Array:
        """The values, NaN in place of those that are not finite."""
        return np.where(np.isfinite(self.values), self.values, np.nan)

    @property
    def non_finite_steps(self) -> Array:
        """Steps at which the value is not finite."""
        non_finite: Array = self.steps[~np.isfinite(self.values)]
        return non_finite


@dataclass(frozen=True)
class Curve:
    """One quantity of two runs."""

    name: str
    title: str
    reference: TimeSeries
    candidate: TimeSeries

    @property
    def difference(self) -> TimeSeries:
        """|candidate - reference| at the common steps; NaN if one value is not finite."""
        steps, one, two = np.intersect1d(
            self.reference.steps, self.candidate.steps, assume_unique=True, return_indices=True
        )
        difference = np.abs(self.candidate.finite[two] - self.reference.finite[one])
        return TimeSeries(steps, difference)


@dataclass(frozen=True)
class PairCurves:
    """Every quantity that both runs of a comparison recorded."""

    comparison: Comparison
    curves: tuple[Curve, ...]
    seed: int | None = None
    """The seed that is shown, if the comparison is over several seeds."""

    @property
    def first_step(self) -> int | None:
        """The step of the first divergence; None if there is none."""
        found = self.comparison.first_divergence
        for one in self.comparison.seeds:
            if one.seed == self.seed:
                found = one.first_divergence
        return None if found is None else found.step

    @property
    def steps(self) -> int:
        """The number of steps of the longer run."""
        runs = (run for curve in self.curves for run in (curve.reference, curve.candidate))
        return max((len(run.steps) for run in runs), default=0)


@dataclass(frozen=True)
class Curves:
    """The curves of a report."""

    pairs: tuple[PairCurves, ...] = ()
    left_out: int = 0
    """Pairs that have records and are not drawn."""
    notes: tuple[str, ...] = field(default=("the records are missing, so there are no curves",))
    """Why other pairs have no curves, one sentence each."""


def read_curves(report: Report, folder: Path) -> Curves:
    """The curves of a report in `folder`. A record that cannot be read becomes a note."""
    found: list[PairCurves] = []
    notes: dict[str, None] = {}
    left_out = 0
    ordered = sorted(report.comparisons, key=lambda one: one.outcome == "identical")
    for comparison in ordered:
        seed = next((one.seed for one in comparison.seeds), None)
        pair = [
            _run(report.runs, comparison.case, name, seed)
            for name in (comparison.reference, comparison.candidate)
        ]
        if None in pair:
            notes["some pairs have no curves: this report does not list their runs"] = None
            continue
        if len(found) == _MOST:
            left_out += 1
            continue
        try:
            one, two = (_time_series(RunRecord(folder / run.record)) for run in pair if run)
        except RecordError as error:
            notes[f"a pair has no curves: {str(error).replace(f'{folder}/', '')}"] = None
            continue
        curves = tuple(
            Curve(name, title, one[name], two[name])
            for name, title in _QUANTITIES.items()
            if name in one and name in two
        )
        if curves:
            found.append(PairCurves(comparison, curves, seed))
        else:
            notes["some pairs have no curves: their records hold no steps"] = None
    return Curves(tuple(found), left_out, tuple(notes))


def _run(runs: Sequence[RunSummary], case: str, name: str, seed: int | None) -> RunSummary | None:
    """The run that a comparison calls `name`.

    `harness compare` of two records names a pair by loop or folder, and its runs by both.
    """
    for run in runs:
        if (run.case, run.loop, run.seed) == (case, name, seed):
            return run
        elsewhere = (run.one_of, f"{run.loop} {run.where}", run.seed)
        if run.where and elsewhere == (case, name, seed):
            return run
    found = [run for run in runs if name in run.loop.split(": ") and run.seed == seed]
    return found[0] if len(found) == 1 else None


def _time_series(record: RunRecord) -> dict[str, TimeSeries]:
    """Quantity -> time series, as far as the record holds them."""
    table, micro = record.steps, record.micro_batches
    steps = as_numpy(table["step"]).astype(np.float64)
    found = {}
    if len(micro):
        owner = as_numpy(micro["step"])
        sums = np.bincount(owner, as_numpy(filled(record.losses, float("nan"))))
        counts = np.bincount(owner)
        seen = np.flatnonzero(counts)
        found["loss"] = TimeSeries(seen.astype(np.float64), sums[seen] / counts[seen])
    if len(table):
        rates = _highest(table["learning_rate"])
        if rates is not None:
            found["learning_rate"] = TimeSeries(steps, rates)
        if table["grad_norm"].null_count < len(table):
            norms = as_numpy(filled(table["grad_norm"], float("nan")))
            found["grad_norm"] = TimeSeries(steps, norms)
    return found


def _highest(column: pa.ChunkedArray) -> Array | None:
    """The highest value of each list; None if a list is empty."""
    lists = column.combine_chunks()
    offsets = np.concatenate([as_numpy(pa.chunked_array([lists.offsets]))])
    flat = as_numpy(pa.chunked_array([lists.values]))
    if column.null_count or not len(flat) or np.any(np.diff(offsets) == 0):
        return None
    highest: Array = np.maximum.reduceat(flat[: offsets[-1]], offsets[:-1])
    return highest


def reduced(series: TimeSeries, columns: int = COLUMNS) -> TimeSeries:
    """The lowest and the highest value of each of `columns` equal intervals of steps, in order.

    Every spike is kept, however many steps there are. A short series stays whole.
    """
    count = len(series.steps)
    if count <= 2 * columns:
        return series
    width = -(-count // columns)
    values = np.full(width * -(-count // width), np.nan)
    values[:count] = series.finite
    intervals = values.reshape(-1, width)
    blank = np.all(np.isnan(intervals), axis=1)
    lowest = np.where(blank, 0, np.argmin(np.nan_to_num(intervals, nan=np.inf), axis=1))
    highest = np.where(blank, 1, np.argmax(np.nan_to_num(intervals, nan=-np.inf), axis=1))
    begins = np.arange(len(intervals)) * width
    places = np.sort(np.stack([begins + lowest, begins + highest], axis=1), axis=1).ravel()
    places = np.unique(np.minimum(places, count - 1))
    return TimeSeries(series.steps[places], series.finite[places])


def non_finite(runs: Sequence[TimeSeries]) -> str:
    """The steps at which a value of a run is not finite; empty if all are finite."""
    steps = np.unique(np.concatenate([run.non_finite_steps for run in runs]))
    if not len(steps):
        return ""
    count = "1 step" if len(steps) == 1 else f"{len(steps)} steps"
    return f"not finite at {count}, first at step {steps[0]:.0f}"
