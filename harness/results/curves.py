"""The curves of a record: one row per update, with its losses, rates, norm and evaluations.

The loss of an update is the sum of the scalars on which `backward` was called, averaged over the
processes: its gradient is the gradient of the update, however it was cut into micro-batches. The
task's loss, which only a workload has, is the mean over the micro-batches.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from harness.errors import RecordError
from harness.results.arrow import as_numpy, filled
from harness.results.header import commit_of
from harness.results.record import HEADER, RunRecord
from harness.spec.case import RunSpec

__all__ = ["curve_table", "run_columns", "stacked"]

_NAN = float("nan")


def curve_table(record: RunRecord) -> pa.Table:
    """Columns step, loss, task_loss, learning_rate, grad_norm, and eval_NAME for each metric.

    `learning_rate` is the first of the distinct rates in the order of the parameters, others are in
    `learning_rate_2` and so on. A value that was not recorded is null. Step 0 is there only if
    the model was evaluated before the first update. Raises `RecordError` for a damaged record.
    """
    steps, micro = record.steps, record.micro_batches
    evaluations = _evaluations(record)
    numbers = np.unique(
        np.concatenate(
            [as_numpy(steps["step"]), as_numpy(micro["step"]), np.array(list(evaluations), int)]
        )
    ).astype(np.int64)
    if len(numbers) and not 0 <= numbers[0] <= numbers[-1] < 2**31:
        raise RecordError("steps of a record count from 1", record.folder, "run it again")
    columns: dict[str, Any] = {"step": pa.array(numbers, pa.int32())}
    owner = np.searchsorted(numbers, as_numpy(micro["step"]))
    for name, divisor in (("loss", record.spec.processes), ("task_loss", 0)):
        columns[name] = _totals(micro[name], owner, len(numbers), divisor)
    places = np.searchsorted(numbers, as_numpy(steps["step"]))
    columns |= _rates(steps, places, len(numbers))
    norms = np.full(len(numbers), None, dtype=object)
    norms[places] = steps["grad_norm"].to_pylist()
    columns["grad_norm"] = pa.array(norms.tolist(), pa.float64())
    metrics = dict.fromkeys(name for found in evaluations.values() for name in found)
    for name in metrics:
        values = [evaluations.get(step, {}).get(name) for step in numbers.tolist()]
        columns[f"eval_{name}"] = pa.array(values, pa.float64())
    return pa.table(columns)


def run_columns(record: RunRecord, run: str) -> dict[str, Any]:
    """What the record states of its run: text and numbers by column; None if it is not known.

    `run`: the identifier of the run. The date is that of the header's file.
    """
    spec, environment = record.spec, record.header.environment
    seed: int | None = None
    case, loop = spec.case_name, spec.run_label
    if isinstance(spec, RunSpec):
        case, seed = spec.case.seed_of or spec.case.name, spec.recipe.seed
    versions = environment.get("versions")
    written = datetime.fromtimestamp((record.folder / HEADER).stat().st_mtime, UTC)
    return {
        "run": run,
        "case": case,
        "loop": loop,
        "seed": seed,
        "device": spec.device_name,
        "processes": spec.processes,
        "status": record.header.status,
        "date": written.isoformat(timespec="seconds"),
        "commit": _text(commit_of(environment)),
        "harness": _text(environment.get("harness")),
        "python": _text(environment.get("python")),
        **{
            name: _text(versions.get(name)) if isinstance(versions, dict) else None
            for name in ("torch", "transformers", "accelerate")
        },
    }


_TYPES = {"seed": pa.int64(), "processes": pa.int32()}


def stacked(runs: Iterable[tuple[str, RunRecord]]) -> pa.Table:
    """The curves of several runs below one another, each row with what is known of its run."""
    tables = []
    for run, record in runs:
        table = curve_table(record)
        facts = run_columns(record, run)
        for place, (name, value) in enumerate(facts.items()):
            column = pa.array([value] * len(table), _TYPES.get(name, pa.string()))
            table = table.add_column(place, name, column)
        tables.append(table)
    return pa.concat_tables(tables, promote_options="default")


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _evaluations(record: RunRecord) -> dict[int, dict[str, float]]:
    """Metrics by step; the last evaluation of a step counts."""
    return {
        evaluation.step: {**evaluation.metrics, **evaluation.loss_metrics}
        for evaluation in record.header.evaluations
    }


def _totals(column: pa.ChunkedArray, owner: Any, count: int, divisor: int) -> pa.Array:
    """Per row the sum of the values that it owns / `divisor`; without a divisor their mean.

    Null if a value is null, or if it owns none.
    """
    values = as_numpy(filled(column, 0.0))
    absent = np.array(column.is_null().combine_chunks().to_numpy(zero_copy_only=False), bool)
    sums = np.bincount(owner, values, count) if len(values) else np.zeros(count)
    sizes = np.bincount(owner, minlength=count)
    nulls = np.bincount(owner, absent, count) if len(values) else np.zeros(count)
    unknown = (sizes == 0) | (nulls > 0)
    means = sums / (divisor or np.maximum(sizes, 1))
    return pa.array(means, pa.float64(), mask=unknown)


def _rates(steps: pa.Table, places: Any, count: int) -> dict[str, pa.Array]:
    """The distinct learning rates of each update, one column for each."""
    rates: list[list[float | None]] = [[]] * count
    for place, found in zip(places.tolist(), steps["learning_rate"].to_pylist(), strict=True):
        rates[place] = found or []
    columns = {}
    for number in range(max([1, *map(len, rates)])):
        name = "learning_rate" if number == 0 else f"learning_rate_{number + 1}"
        values = [found[number] if number < len(found) else None for found in rates]
        columns[name] = pa.array(values, pa.float64())
    return columns
