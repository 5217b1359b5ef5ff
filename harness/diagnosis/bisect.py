"""The work of `harness bisect`: train with few releases and find the first that differs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from harness.diagnosis.bisect_report import BisectAnswer, write_report
from harness.diagnosis.bisection import first_differing_place
from harness.diagnosis.trained_releases import BisectRequest, ShowProgress, TrainedReleases
from harness.execution.environments.releases import Releases, between
from harness.results.folders import output_folder
from harness.results.report import Report

__all__ = ["BisectRequest", "bisect"]


def bisect(
    request: BisectRequest,
    releases: Releases,
    out: Path | None,
    command: Sequence[str],
    console: Console,
    show_progress: ShowProgress,
) -> tuple[Report, Path]:
    """Find the first release whose traces differ from the good one's; write the report.

    `out` may be the folder of a stopped bisection of the same request. Its complete runs are used
    again. Raises `SpecError` if one of the two ends is not a release.
    """
    versions = between(releases.fitting, request.good, request.bad)
    with output_folder(out, f"{request.case.name}-bisect", again=True) as folder:
        trained = TrainedReleases(request, folder, console, show_progress)
        finish = partial(write_report, request, versions, releases, trained, folder, command)
        try:
            return finish(_search(request, versions, trained)), folder
        except KeyboardInterrupt:
            if trained.comparisons:
                finish(None)
            raise


def _search(
    request: BisectRequest, versions: Sequence[str], trained: TrainedReleases
) -> BisectAnswer:
    """Compare the two ends first: without a difference between them no search is needed."""
    if not trained.train(request.good):
        return BisectAnswer("ends")
    ends = trained.compare_with(request.bad)
    if ends is None:
        return BisectAnswer("ends")
    if ends == "same":
        return BisectAnswer("none")
    place = first_differing_place(
        len(versions), lambda number: trained.compare_with(versions[number])
    )
    first, last_same = versions[place.first_different], versions[place.last_same]
    exact = place.first_different == place.last_same + 1
    further = None
    if first != request.bad:
        again = trained.compare_with(request.bad, reference=first)
        further = None if again is None else again == "different"
    return BisectAnswer("found" if exact else "range", last_same, first, further)
