"""`harness annotate`: show reports on the page of a CI build."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.shared import EXIT_CODES
from harness.errors import SpecError, full_disk_reported
from harness.report.formats.annotations import LIMIT, annotations_of, cut, informs, workflow_command
from harness.report.formats.comment import comment
from harness.report.render import render
from harness.results.report import Report, Verdict

__all__ = ["annotate_command"]

_SUMMARY_BYTES = 1024 * 1024
"""GitHub refuses a larger summary of a step as a whole."""
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
    comment_file: Annotated[
        Path | None,
        typer.Option(
            "--comment",
            metavar="FILE",
            help="Also write a comment for a pull request: Markdown of at most 60 lines.",
        ),
    ] = None,
) -> int:
    """Show reports on the page of a CI build. The exit code is that of the worst report.

    Prints at most ten annotations as GitHub's workflow commands, the worst first. In GitHub Actions
    it also adds each report to the step's summary, and sets the outputs `verdict` and `exit-code`.
    Beside other reports, one of `harness bench` is only shown: it changes the exit code only if it
    is alone.

    Example: harness annotate out/compare out/check
    """
    reports = [Report.read(folder).kept_in(folder.resolve()) for folder in run_dirs]
    verdict = overall(reports)
    for annotation in annotations_of(reports, LIMIT):
        typer.echo(workflow_command(annotation))
    if comment_file is not None:
        worst = next(report for report in reports if report.verdict == verdict)
        _write_comment(comment_file, comment(reports, worst))
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        _add_summary(Path(summary), reports)
    if output := os.environ.get("GITHUB_OUTPUT"):
        _append(Path(output), f"verdict={verdict}\nexit-code={EXIT_CODES[verdict]}\n")
    return EXIT_CODES[verdict]


def overall(reports: Sequence[Report]) -> Verdict:
    """The worst verdict of the reports that decide; of all reports if none of them decides."""
    deciding = [report for report in reports if not informs(report)] or reports
    verdicts = {report.verdict for report in deciding}
    return next(verdict for verdict in _WORST_FIRST if verdict in verdicts)


def _add_summary(path: Path, reports: Sequence[Report]) -> None:
    """Append each report, as far as the size limit of the summary allows."""
    left = _SUMMARY_BYTES - (path.stat().st_size if path.exists() else 0)
    for report in reports:
        page = cut(f"{render(report, 'report.md')}\n", left)
        _append(path, page)
        left -= len(page.encode())


def _write_comment(path: Path, text: str) -> None:
    try:
        with full_disk_reported(path):
            path.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise SpecError(
            "--comment takes a file that can be written", error, "name another"
        ) from None


def _append(path: Path, text: str) -> None:
    try:
        with full_disk_reported(path), path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as error:
        rule = "GITHUB_STEP_SUMMARY and GITHUB_OUTPUT name files that can be written"
        raise SpecError(rule, error, "unset them outside of GitHub Actions") from None
