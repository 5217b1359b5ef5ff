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
    "Candidate",
    "Curve",
    "Curves",
    "RunCurves",
    "TimeSeries",
    "non_finite",
    "read_curves",
    "reduced",
]

Array = npt.NDArray[np.float64]

COLUMNS = 400
"""Columns of pixels in a plot; the steps of a curve are divided among them."""
_MOST = 4
"""References whose curves are drawn, and runs that are drawn with each of them."""
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
class Candidate:
    """One quantity of a run that is compared with a reference."""

    pair: Comparison
    first_step: int | None
    """The step of its first divergence; None if there is none."""
    series: TimeSeries


@dataclass(frozen=True)
class Curve:
    """One quantity of a reference and of every run that is compared with it."""

    name: str
    title: str
    reference: TimeSeries
    candidates: tuple[Candidate, ...]

    def difference(self, candidate: Candidate) -> TimeSeries:
        """|candidate - reference| at the common steps; NaN if one value is not finite."""
        steps, one, two = np.intersect1d(
            self.reference.steps,
            candidate.series.steps,
            assume_unique=True,
            return_indices=True,
        )
        difference = np.abs(candidate.series.finite[two] - self.reference.finite[one])
        return TimeSeries(steps, difference)


@dataclass(frozen=True)
class RunCurves:
    """Every quantity that a reference and the runs compared with it recorded."""

    case: str
    reference: str
    curves: tuple[Curve, ...]
    seed: int | None = None
    """The seed that is shown, if the comparisons are over several seeds."""

    @property
    def pairs(self) -> list[Comparison]:
        """The pairs that are drawn."""
        found = {id(one.pair): one.pair for curve in self.curves for one in curve.candidates}
        return list(found.values())

    @property
    def steps(self) -> int:
        """The number of steps of the longest run."""
        runs = [curve.reference for curve in self.curves]
        runs += [one.series for curve in self.curves for one in curve.candidates]
        return max((len(run.steps) for run in runs), default=0)


@dataclass(frozen=True)
class Curves:
    """The curves of a report."""

    groups: tuple[RunCurves, ...] = ()
    left_out: int = 0
    """Pairs that have records and are not drawn."""
    notes: tuple[str, ...] = field(default=("the records are missing, so there are no curves",))
    """Why other pairs have no curves, one sentence each."""


def read_curves(report: Report, folder: Path) -> Curves:
    """The curves of a report in `folder`. A record that cannot be read becomes a note."""
    found: list[RunCurves] = []
    notes: dict[str, None] = {}
    left_out = 0
    for group in _groups(report.comparisons):
        if len(found) == _MOST:
            left_out += len(group)
            continue
        left_out += len(group[_MOST:])
        curves = _curves(report, group[:_MOST], folder, notes)
        if curves is not None:
            found.append(curves)
    return Curves(tuple(found), left_out, tuple(notes))


def _groups(pairs: Sequence[Comparison]) -> list[list[Comparison]]:
    """Pairs with the same reference; those first that are not all identical.

    A pair of two runs that are both in such a group is not drawn again.
    """
    groups: dict[tuple[str, str], list[Comparison]] = {}
    drawn: dict[str, list[set[str]]] = {}
    for pair in pairs:
        ends = {pair.reference, pair.candidate}
        if any(ends <= names for names in drawn.setdefault(pair.case, [])):
            continue
        key = (pair.case, pair.reference)
        if key not in groups:
            groups[key] = []
            drawn[pair.case].append({pair.reference})
        groups[key].append(pair)
        next(names for names in drawn[pair.case] if pair.reference in names).add(pair.candidate)
    return sorted(
        groups.values(), key=lambda group: all(one.outcome == "identical" for one in group)
    )


def _curves(
    report: Report, group: Sequence[Comparison], folder: Path, notes: dict[str, None]
) -> RunCurves | None:
    """The curves of one reference; None, with a note, if its records cannot be read."""
    first = group[0]
    seed = next((one.seed for one in first.seeds), None)
    reference = _series(report, first.case, first.reference, seed, folder, notes)
    members = [
        (pair, _series(report, pair.case, pair.candidate, seed, folder, notes))
        for pair in group
        if reference is not None
    ]
    curves = []
    for name, title in _QUANTITIES.items():
        candidates = tuple(
            Candidate(pair, _first_step(pair, seed), series[name])
            for pair, series in members
            if series is not None and name in series
        )
        if reference is not None and name in reference and candidates:
            curves.append(Curve(name, title, reference[name], candidates))
    if curves:
        return RunCurves(first.case, first.reference, tuple(curves), seed)
    if reference is not None and any(series is not None for _, series in members):
        notes["some pairs have no curves: their records hold no steps"] = None
    return None


def _first_step(pair: Comparison, seed: int | None) -> int | None:
    found = pair.first_divergence
    for one in pair.seeds:
        if one.seed == seed:
            found = one.first_divergence
    return None if found is None else found.step


def _series(
    report: Report,
    case: str,
    name: str,
    seed: int | None,
    folder: Path,
    notes: dict[str, None],
) -> dict[str, TimeSeries] | None:
    """The time series of the run that a comparison calls `name`; None, with a note, if none."""
    run = _run(report.runs, case, name, seed)
    if run is None:
        notes["some pairs have no curves: this report does not list their runs"] = None
        return None
    try:
        return _time_series(RunRecord(folder / run.record))
    except RecordError as error:
        notes[f"a pair has no curves: {str(error).replace(f'{folder}/', '')}"] = None
        return None


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
