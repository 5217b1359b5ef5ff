"""`ShownReport`: a report as Python and notebooks show it, with its frames and records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.api.load import Record, load
from harness.errors import RecordError, check_known
from harness.report.render import render
from harness.report.text.answers import first_lines
from harness.report.text.summary import NOTHING_COMPARED
from harness.results import frames
from harness.results.report import Report

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ShownReport", "shown"]

_FRAMES = {"comparisons": frames.comparisons, "runs": frames.runs}


class ShownReport(Report):
    """A report that Python shows as a few lines of text, and a notebook as a page."""

    def __repr__(self) -> str:
        """The verdict and the main results, in a few lines."""
        return "\n".join([*(first_lines(self) or [NOTHING_COMPARED]), f"verdict: {self.verdict}"])

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return render(self, "cell.html")

    def frame(self, of: str = "comparisons") -> pd.DataFrame:
        """A DataFrame with one row for each pair; `of="runs"`: with one row for each run.

        Raises `SpecError` for another name, or without pandas.
        """
        check_known("frame of a report", of, _FRAMES)
        return _FRAMES[of](self)

    @property
    def records(self) -> dict[str, Record]:
        """The records of its runs, by the label of the run, with its case if labels are equal.

        Raises `RecordError` if a record is missing or damaged.
        """
        if self.folder is None:
            raise RecordError(
                "the records of a report lie in its folder",
                "a report without a folder",
                "use the report that harness.run or harness.compare returned",
            )
        labels = [run.loop for run in self.runs]
        return {
            run.loop if labels.count(run.loop) == 1 else f"{run.case}: {run.loop}": load(
                self.folder / run.record
            )
            for run in self.runs
        }


def shown(report: Report, folder: Path) -> ShownReport:
    """The report in its folder, as Python shows it."""
    copy = ShownReport.model_validate(report.model_dump())
    copy._folder = folder
    return copy
