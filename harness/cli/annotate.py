"""`harness annotate`: what a page of a build says of reports."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.shared import EXIT_CODES
from harness.errors import SpecError
from harness.report.formats.annotations import LIMIT, annotations_of, cut, informs, workflow_command
from harness.report.render import render
from harness.results.report import Report, Verdict

__all__ = ["annotate_command"]

_SUMMARY_BYTES = 1024 * 1024
"""GitHub refuses a step's summary that is larger, as a whole."""
_WORST_FIRST: tuple[Verdict, ...] = (
    "failed",
    "regression",
    "different",
    "no_verdict",
    "equivalent",
)


def annotate_command(
    run_dirs: Annotated[
        list[Path], typer.Argument(help="Output folders of harness commands.", show_default=False)
    ],
) -> int:
    """Say on the page of a build what reports found, and exit by the worst of them.

    Prints at most ten annotations as GitHub's workflow commands, the worst first. Within GitHub
    Actions it also adds each report to the step's summary, and sets the outputs `verdict` and
    `exit-code`. Beside others a report of `harness bench` tells, and is red only where a run
    failed.

    Example: harness annotate out/compare out/gate
    """
    reports = [Report.read(folder).kept_in(folder.resolve()) for folder in run_dirs]
    verdict = overall(reports)
    for annotation in annotations_of(reports, LIMIT):
        typer.echo(workflow_command(annotation))
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        _add_summary(Path(summary), reports)
    if output := os.environ.get("GITHUB_OUTPUT"):
        _append(Path(output), f"verdict={verdict}\nexit-code={EXIT_CODES[verdict]}\n")
    return EXIT_CODES[verdict]


def overall(reports: Sequence[Report]) -> Verdict:
    """The worst of those that judge; where all only tell, the worst of these."""
    judging = [report for report in reports if not informs(report)] or reports
    verdicts = {report.verdict for report in judging}
    return next(verdict for verdict in _WORST_FIRST if verdict in verdicts)


def _add_summary(path: Path, reports: Sequence[Report]) -> None:
    """Each report in turn, as far as the step's summary takes it."""
    left = _SUMMARY_BYTES - (path.stat().st_size if path.exists() else 0)
    for report in reports:
        page = cut(f"{render(report, 'report.md')}\n", left)
        _append(path, page)
        left -= len(page.encode())


def _append(path: Path, text: str) -> None:
    try:
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as error:
        rule = "GITHUB_STEP_SUMMARY and GITHUB_OUTPUT name files that can be written"
        raise SpecError(rule, error, "unset them outside of GitHub Actions") from None
