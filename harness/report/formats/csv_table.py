"""A report -> CSV in long form: one row for each result, always the same columns.

`kind` is the type of a row: the `verdict`; a `comparison` with its first divergence; a `finding`,
one metric of a comparison; a `run` with one of its figures; an `arm` of a benchmark with one of its
figures; the `control` of a benchmark; a `gate` item, one quantity of a check against a baseline. A
cell that does not apply is empty. Numbers are in base units, with all their digits. Text that a
spreadsheet would read as a formula begins with an apostrophe. The last columns are the same in each
row, so that the files of many reports can be put below one another.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from harness.report.escape import spreadsheet_cell
from harness.report.text.summary import sentence
from harness.report.text.verdict import headline
from harness.results.benchmark import BenchResult
from harness.results.comparison import Comparison
from harness.results.metrics import metric
from harness.results.regression import CheckResult
from harness.results.report import Report, RunSummary
from harness.results.report_columns import COLUMNS as REPORT_COLUMNS
from harness.results.report_columns import report_columns, seed_of

__all__ = ["COLUMNS", "tidy"]

COLUMNS = (
    "kind",
    "case",
    "reference",
    "candidate",
    "loop",
    "seed",
    "metric",
    "unit",
    "better",
    "outcome",
    "step",
    "stage",
    "tensor",
    "value",
    "reference_value",
    "candidate_value",
    "ratio",
    "interval_low",
    "interval_high",
    "margin",
    "words",
    *REPORT_COLUMNS,
)
_ARM_FIGURES = {
    "step_s": ("s", "lower"),
    "own_step_s": ("s", "lower"),
    "cpu_step_s": ("s", "lower"),
    "samples_per_s": ("1/s", "higher"),
    "tokens_per_s": ("1/s", "higher"),
    "padded_tokens_per_s": ("1/s", "higher"),
    "first_step_s": ("s", "lower"),
    "startup_s": ("s", "lower"),
    "peak_resident_bytes": ("B", "lower"),
    "peak_allocated_bytes": ("B", "lower"),
    "peak_reserved_bytes": ("B", "lower"),
    "flops_per_step": ("", "neither"),
    "share_of_peak": ("", "higher"),
    "energy_j_per_step": ("J", "lower"),
}

_Row = dict[str, Any]


def tidy(report: Report) -> str:
    """The whole file; the header comes first."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    of_report = report_columns(report)
    for row in _rows(report):
        if row.get("seed") is None:
            row["seed"] = seed_of(report, row.get("case", ""))
        cells = {**row, **of_report}
        writer.writerow({name: spreadsheet_cell(value) for name, value in cells.items()})
    return text.getvalue()


def _rows(report: Report) -> Iterator[_Row]:
    yield {"kind": "verdict", "outcome": report.verdict, "words": headline(report)}
    for comparison in report.comparisons:
        yield from _comparison(comparison)
    for run in report.runs:
        yield from _run(run)
    for case, result in report.bench.items():
        yield from _bench(case, result)
    if report.gate is not None:
        yield from _gate(report.gate)


def _comparison(comparison: Comparison) -> Iterator[_Row]:
    pair = {
        "case": comparison.case,
        "reference": comparison.reference,
        "candidate": comparison.candidate,
    }
    row: _Row = {
        "kind": "comparison",
        **pair,
        "outcome": comparison.outcome,
        "metric": "steps compared",
        "value": comparison.steps,
        "words": sentence(comparison),
    }
    first = comparison.first_divergence
    if first is not None:
        row |= {"step": first.step, "stage": first.stage, "tensor": first.tensor}
        row |= _pair_of_values(first.reference, first.candidate)
    yield row
    for found in comparison.findings:
        low, high = found.interval or (None, None)
        yield {
            "kind": "finding",
            **pair,
            "metric": found.metric,
            "unit": found.unit,
            "better": metric(found.metric).better,
            "outcome": found.outcome,
            "reference_value": found.reference,
            "candidate_value": found.candidate,
            "ratio": found.ratio,
            "interval_low": low,
            "interval_high": high,
            "margin": found.margin,
        }


def _pair_of_values(reference: Any, candidate: Any) -> _Row:
    """Two values, if each fits into a cell."""
    values = {"reference_value": reference, "candidate_value": candidate}
    return {name: value for name, value in values.items() if isinstance(value, int | float | str)}


def _run(run: RunSummary) -> Iterator[_Row]:
    figures = {"steps": run.steps, "samples": run.samples, "epochs": run.epochs}
    if not run.epochs and not run.conventions:
        del figures["epochs"]  # not known of a command
    for name, value in {**figures, **run.final_metrics, "wall_s": run.wall_s}.items():
        row = metric(name)
        yield {
            "kind": "run",
            "case": run.case,
            "loop": run.loop,
            "seed": run.seed,
            "metric": name,
            "unit": row.unit,
            "better": row.better,
            "outcome": run.status,
            "value": value,
            "words": run.error,
        }


def _bench(case: str, result: BenchResult) -> Iterator[_Row]:
    low, high = result.control_interval
    why = result.control_why_not or result.control_caution
    yield {
        "kind": "control",
        "case": case,
        "reference": result.arms[0].name if result.arms else "",
        "metric": result.statistic,
        "outcome": "inconclusive" if why else "equivalent",
        "ratio": result.control_ratio,
        "interval_low": low,
        "interval_high": high,
        "margin": result.margin,
        "words": why,
    }
    for arm in result.arms:
        for name, (unit, better) in _ARM_FIGURES.items():
            value = getattr(arm, name)
            if value is not None:
                row = {"kind": "arm", "case": case, "loop": arm.name, "metric": name}
                yield {**row, "unit": unit, "better": better, "value": value}


def _gate(gate: CheckResult) -> Iterator[_Row]:
    for item in gate.items:
        low, high = item.interval or (None, None)
        yield {
            "kind": "gate",
            "case": item.case,
            "loop": item.loop,
            "metric": item.metric,
            "unit": item.unit,
            "outcome": item.listed,
            **_pair_of_values(item.before, item.now),
            "ratio": item.ratio,
            "interval_low": low,
            "interval_high": high,
            "words": item.sentence,
        }
