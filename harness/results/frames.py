"""Records and reports as pandas DataFrames. pandas is imported at the first use of a function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from harness.errors import SpecError
from harness.results.curves import curve_table
from harness.results.record import RunRecord
from harness.results.report import Report
from harness.results.report_columns import report_columns, seed_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["comparisons", "curves", "micro_batches", "norms", "runs", "tensors"]


def curves(record: RunRecord) -> pd.DataFrame:
    """One row per update: step, loss, task_loss, learning_rate, grad_norm, eval_NAME.

    See `harness.results.curves`. A value that was not recorded is NaN.
    """
    return _frame(curve_table(record))


def tensors(record: RunRecord) -> pd.DataFrame:
    """One row per parameter and step: digests of gradient, weight and optimizer state.

    Digests are unsigned integers of 64 bits; one that was not recorded is <NA>.
    """
    return _frame(record.tensors)


def micro_batches(record: RunRecord) -> pd.DataFrame:
    """One row per backward pass: rows of the batch, digests of batch and generators, losses."""
    return _frame(record.micro_batches)


def norms(record: RunRecord) -> pd.DataFrame:
    """One row per parameter and step: norms of the raw gradient and of the one that was applied.

    At step 0 the norm of the initial weight. A value that was not recorded is NaN.
    """
    return _frame(record.norms)


def comparisons(report: Report) -> pd.DataFrame:
    """One row per pair: outcome, first divergence, causes and doubts.

    The last columns are those of `harness.results.report_columns`, as in `runs`.
    """
    names = ("step", "micro_batch", "stage", "tensor", "max_ulp", "relative", "detail")
    rows = []
    for found in report.comparisons:
        first = found.first_divergence
        rows.append(
            {
                "case": found.case,
                "reference": found.reference,
                "candidate": found.candidate,
                "outcome": found.outcome,
                "seed": seed_of(report, found.case),
                "steps": found.steps,
                **{name: None if first is None else getattr(first, name) for name in names},
                "reference_value": None if first is None else first.reference,
                "candidate_value": None if first is None else first.candidate,
                "causes": [cause.id for cause in found.causes],
                "doubts": list(found.doubts),
                **report_columns(report),
            }
        )
    return _rows(rows, ["case", "reference", "candidate", "outcome", "steps", *names])


def runs(report: Report) -> pd.DataFrame:
    """One row per run: the fields of `RunSummary`, and a column for each final metric."""
    rows = [
        {
            **run.model_dump(exclude={"final_metrics"}),
            "seed": seed_of(report, run.case) if run.seed is None else run.seed,
            **{f"final_{name}": value for name, value in run.final_metrics.items()},
            **report_columns(report),
        }
        for run in report.runs
    ]
    return _rows(rows, ["case", "loop", "status", "steps"])


def _rows(rows: list[dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    """A frame of these rows; without rows it still has these columns."""
    pandas = _pandas()
    frame: pd.DataFrame = pandas.DataFrame(rows) if rows else pandas.DataFrame(columns=columns)
    return frame


def _frame(table: pa.Table) -> pd.DataFrame:
    pandas = _pandas()
    # As floats, which pandas takes for integers with nulls, digests would lose digits.
    digests = {pa.uint64(): pandas.UInt64Dtype()}
    frame: pd.DataFrame = table.to_pandas(types_mapper=digests.get)
    return frame


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        rule = "a DataFrame needs pandas"
        raise SpecError(rule, "no module pandas", "install pandas") from None
    return pandas
