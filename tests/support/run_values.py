"""Everything that the runs in an output folder computed and that its report concludes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.results.record import HEADER, SCHEMAS, RunRecord
from harness.results.report import Report

__all__ = ["values_in"]

_TIMES = {"wall_s", "samples_per_s"}


def values_in(out: Path) -> dict[str, Any]:
    """By the name of a record: its facts and all rows of its traces; `report`: what it states.

    Nothing that says when, where or how fast something was.
    """
    found: dict[str, Any] = {}
    for path in sorted(out.glob(f"records/*/{HEADER}")):
        record = RunRecord(path.parent)
        facts = record.header.model_dump(exclude={"wall_s", "environment", "traces"})
        found[path.parent.name] = facts, {name: record.trace(name).to_pylist() for name in SCHEMAS}
    report = Report.read(out)
    comparisons = [pair.model_dump() for pair in report.comparisons]
    for pair in comparisons:
        pair["findings"] = [each for each in pair["findings"] if each["metric"] not in _TIMES]
    runs = [run.model_dump(exclude=_TIMES) for run in report.runs]
    found["report"] = report.verdict, comparisons, runs, report.recipes
    return found
