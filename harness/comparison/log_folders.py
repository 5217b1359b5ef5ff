"""Compares the log of an old run with records or with another log, and writes the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.comparison.logs import compare_log
from harness.errors import SpecError
from harness.report.write import write
from harness.results.folders import folder_labels, output_folder, records_in
from harness.results.imported.log import Log
from harness.results.imported.read import is_log, read_log
from harness.results.record import RunRecord
from harness.results.report import Report

__all__ = ["compare_log_folders"]

_Runs = list[tuple[str, str, RunRecord | Log]]
"""Case, label, and record or log of each run."""


def compare_log_folders(
    reference: Path,
    candidate: Path,
    out: Path | None,
    command: Sequence[str],
    options: Sequence[str] = (),
) -> tuple[Report, Path]:
    """Compare two paths, at least one of which is a log, and write the report.

    `options`: names of options that were given and need records. Raises `SpecError` for those, and
    `SpecError` or `RecordError` if a path cannot be read.
    """
    if options:
        rule = f"{' and '.join(options)} needs two runs that were traced"
        log = reference if is_log(reference) else candidate
        raise SpecError(rule, f"the log {log}", "leave it out")
    names = folder_labels(reference, candidate)
    left, right = _runs(reference, names[0]), _runs(candidate, names[1])
    with output_folder(out, "compare") as folder:
        comparisons = [
            compare_log(case_two or case_one or "log", (one_label, two_label), one, two)
            for case_one, one_label, one in left
            for case_two, two_label, two in right
        ]
        records = [(label, run) for _, label, run in (*left, *right) if isinstance(run, RunRecord)]
        report = Report.of(records, comparisons, folder, command)
        write(report, folder)
    return report, folder


def _runs(path: Path, name: str) -> _Runs:
    """The log at `path`, which has no case, or its records."""
    if is_log(path):
        return [("", name, read_log(path))]
    found = records_in(path)
    return [(case, f"{name}: {loop}", record) for (case, loop), record in found.items()]
