"""The report of a bisection: its result, its verdict and its sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.diagnosis.trained_releases import BisectRequest, TrainedReleases
from harness.execution.environments.releases import Releases, between
from harness.report.text.causes import because
from harness.report.write import write
from harness.results.record import HEADER
from harness.results.report import Report, Verdict
from harness.results.upgrade import BisectResult, PackageChange, Skipped

__all__ = ["BisectAnswer", "write_report"]

_VERDICTS: Mapping[str, Verdict] = {
    "found": "different",
    "none": "equivalent",
    "range": "no_verdict",
    "ends": "no_verdict",
}


@dataclass(frozen=True)
class BisectAnswer:
    """What a search found."""

    outcome: Literal["found", "none", "range", "ends"]
    """See `BisectResult.outcome`."""
    last_same: str | None = None
    first_differing: str | None = None
    further: bool | None = None
    """Whether the bad release differs from `first_differing` again; None: not known."""


def write_report(
    request: BisectRequest,
    versions: Sequence[str],
    releases: Releases,
    trained: TrainedReleases,
    folder: Path,
    command: Sequence[str],
    answer: BisectAnswer | None,
) -> Report:
    """Write the report of a bisection. `answer`: None if the bisection was interrupted."""
    ordered = [version for version in versions if version in trained.records]
    unfit = _unfit(releases, versions)
    others: tuple[PackageChange, ...] = ()
    if answer and answer.first_differing and answer.last_same:
        others = trained.other_changes(answer.last_same, answer.first_differing)
    result = BisectResult(
        package=request.package,
        good=request.good,
        bad=request.bad,
        outcome=answer.outcome if answer else "range",
        last_same=answer.last_same if answer else None,
        first_differing=answer.first_differing if answer else None,
        further=answer.further if answer else None,
        moved_along=others,
        tested=tuple(ordered),
        skipped=tuple(
            Skipped(version=version, why=why)
            for version, why in {**trained.skipped, **unfit}.items()
        ),
        released=len(versions),
    )
    sentence = _sentence(request, result, trained) if answer else "the bisection was interrupted"
    result = result.model_copy(update={"sentence": sentence})
    records = [
        (name, record)
        for version in ordered
        for name, record in trained.records[version].items()
        if (record.folder / HEADER).is_file()
    ]
    pairs = [pair for version in ordered for pair in trained.comparisons.get(version, ())]
    report = Report.of(records, pairs, folder, command)
    verdict = _VERDICTS[answer.outcome] if answer else "no_verdict"
    report = report.model_copy(update={"bisect": result, "verdict": verdict})
    write(report, folder)
    return report


def _unfit(releases: Releases, versions: Sequence[str]) -> dict[str, str]:
    """Releases between the ends that do not support this Python."""
    every = (*releases.fitting, *releases.unfit)
    ends = versions[0], versions[-1]
    inside = between(every, *ends) if releases.unfit else []
    return {text: "not for this Python" for text in inside if text in releases.unfit}


def _sentence(request: BisectRequest, result: BisectResult, trained: TrainedReleases) -> str:
    package, good, bad = request.package, request.good, request.bad
    if result.outcome == "ends":
        end = next(end for end in (good, bad) if end in trained.skipped)
        return (
            f"no verdict: {package} {end} is one of the two ends and could not be compared: "
            f"{trained.skipped[end]}"
        )
    loops = ", ".join(Path(loop).stem for loop in request.loops)
    if result.outcome == "none":
        return (
            f"{loops}: training with {package} {good} and {bad} is identical, bit for bit; a "
            "change that was reverted between them is not detected"
        )
    first = result.first_differing
    assert first is not None
    pair = next(p for p in trained.comparisons[first] if p.outcome == "different")
    place = pair.first_divergence
    assert place is not None
    text = f"training first differs from {package} {good} with {package} {first}"
    if result.outcome == "range":
        skipped = ", ".join(v for v in trained.skipped if v not in (good, bad))
        text = (
            f"no verdict: training differs from {package} {good} with {package} {first}, is "
            f"identical with {result.last_same}; not comparable: {skipped}"
        )
    text += f"; the first difference is at step {place.step} in {place.stage}"
    why = because(pair)
    text += f" ({why})" if why else ""
    if result.outcome == "found":
        text += f"; training with {result.last_same} is identical"
    if result.further:
        text += f"; training with {bad} differs from {first} again, so there are further changes"
    elif result.further is False:
        text += f"; training with {bad} is identical to {first}"
    if result.moved_along:
        names = ", ".join(
            f"{each.name} {' to '.join(v or 'absent' for v in each.versions)}"
            for each in result.moved_along
        )
        text += f"; its requirements also changed {names}, which may be the cause"
    return f"{text}. Assumption: one change, which was not reverted"
