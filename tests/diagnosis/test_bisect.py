"""Bisections over made-up releases: the records are written by hand, the reports are real."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from rich.console import Console

from harness.cli.shared import EXIT_CODES
from harness.diagnosis import trained_releases
from harness.diagnosis.bisect import BisectRequest, bisect
from harness.errors import SpecError
from harness.execution.environments.interpreter import Libraries
from harness.execution.environments.releases import Releases
from harness.execution.parent.runner import Run
from harness.report.text.answers import first_lines
from harness.results.record import RunRecord
from harness.results.report import Report
from harness.spec.case import Case
from harness.spec.recipe import Recipe
from tests.support.records import draft

VERSIONS = tuple(f"1.{number}" for number in range(8))
CASE = Case(name="tiny", workload="paraphrase", recipe=Recipe(max_steps=6))
Train = Callable[[str], int | str]
"""By version: a number on which the values of its run depend, or why it fails."""


class Bench:
    """Runs bisections, and remembers what they trained."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.trained = folder, [""][:0]
        self.values: Train = lambda version: 0
        self.uninstallable: tuple[str, ...] = ()
        monkeypatch.setattr(trained_releases, "environment_with", self._environment)
        monkeypatch.setattr(trained_releases, "run_all", self._run_all)

    def __call__(
        self, values: Train, good: str = "1.0", bad: str = "1.7", unfit: Sequence[str] = ()
    ) -> Report:
        self.values = values
        fitting = tuple(version for version in VERSIONS if version not in unfit)
        asked = BisectRequest(CASE, ["plain"], "matched", "fakelib", good, bad)
        releases = Releases(fitting, tuple(unfit))
        report, folder = bisect(
            asked, releases, self.folder, ["harness"], Console(quiet=True), lambda word: None
        )
        assert report.bisect == Report.read(folder).bisect
        assert report.bisect is not None
        for page in ("report.md", "report.html"):
            assert "Bisection of fakelib" in (folder / page).read_text(encoding="utf-8")
        return report

    def _environment(self, wanted: Sequence[Requirement], *_: Any) -> Libraries:
        version = str(wanted[0].specifier).removeprefix("==")
        if version in self.uninstallable:
            raise SpecError("pip can install it here", "no matching distribution", "ask for others")
        helper = "2" if version >= "1.4" else "1"
        return Libraries("/py", {"fakelib": version, "helper": helper})

    def _run_all(self, runs: Sequence[Run], *_: Any, **__: Any) -> list[RunRecord]:
        for run in runs:
            version = (run.spec.case.libraries or "").split()[1]
            assert "/py" == run.python
            self.trained.append(version)
            value = self.values(version)
            made = draft()
            made.header["spec"] = run.spec
            if isinstance(value, int):
                made.step(3)["weights"] ^= value
            else:
                made.header |= {"status": "failed", "error": value}
            made.write(run.folder)
        return []


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path / "out", monkeypatch)


def summary(report: Report) -> tuple[int, str]:
    """Exit code, and the first lines of the report."""
    return EXIT_CODES[report.verdict], " ".join(first_lines(report))


def test_the_first_that_differs_is_named_with_the_place_in_few_runs(run: Bench) -> None:
    """Eight releases, five runs; another package that changed with it is named too."""
    code, text = summary(report := run(lambda version: int(version >= "1.4")))
    assert 1 == code
    assert "training first differs from fakelib 1.0 with fakelib 1.4" in text
    assert "the first difference is at step 3 in weights" in text
    assert "training with 1.3 is identical" in text
    assert "training with 1.7 is identical to 1.4" in text
    assert "helper 1 to 2" in text
    assert "Assumption: one change" in text
    assert ["1.0", "1.7"] == run.trained[:2]
    assert len(run.trained) <= 5
    assert report.bisect is not None
    assert ("1.3", "1.4", 8) == (
        report.bisect.last_same,
        report.bisect.first_differing,
        report.bisect.released,
    )


@pytest.mark.parametrize("change", VERSIONS[1:])
def test_each_release_is_found(run: Bench, change: str) -> None:
    """Also the very next, and the last one itself."""
    report = run(lambda version: int(version >= change))
    assert report.bisect is not None
    assert ("found", change) == (report.bisect.outcome, report.bisect.first_differing)


def test_where_the_ends_are_the_same_there_is_none(run: Bench) -> None:
    """Two runs, exit code 0, and a note on undetected changes."""
    code, text = summary(run(lambda version: 0))
    assert 0 == code
    assert "training with fakelib 1.0 and 1.7 is identical, bit for bit" in text
    assert ["1.0", "1.7"] == run.trained


def test_a_change_that_was_taken_back_is_not_denied(run: Bench) -> None:
    """The planted fault of the assumption: 1.2 differs, 1.3 does not, 1.5 does for good."""
    code, text = summary(run(lambda version: int(version == "1.2" or version >= "1.5")))
    assert 1 == code
    assert "Assumption: one change, which was not reverted" in text
    code, text = summary(run(lambda version: int(version >= "1.5"), "1.1"))
    assert "fakelib 1.1 with fakelib 1.5" in text


def test_further_changes_are_reported(run: Bench) -> None:
    """The last one differs from the first that differs."""
    code, text = summary(run(lambda version: (version >= "1.2") + (version >= "1.6") * 2))
    assert 1 == code
    assert "training with 1.7 differs from" in text
    assert "there are further changes" in text


def test_what_cannot_be_installed_or_trained_is_passed_over_and_named(run: Bench) -> None:
    """If the result does not depend on it."""
    run.uninstallable = ("1.3",)
    code, text = summary(
        report := run(lambda version: "it broke" if version == "1.2" else int(version >= "1.6"))
    )
    assert 1 == code
    assert "with fakelib 1.6" in text
    assert report.bisect is not None
    skipped = {each.version: each.why for each in report.bisect.skipped}
    assert "no matching distribution" in skipped["1.3"]
    assert set(skipped) <= {"1.2", "1.3"}


def test_if_the_result_depends_on_them_there_is_no_verdict(run: Bench) -> None:
    """A range, and exit code 4."""
    run.uninstallable = ("1.3",)
    code, text = summary(
        run(lambda version: "it broke" if version == "1.4" else int(version >= "1.3"))
    )
    assert 4 == code
    assert "no verdict: training differs from fakelib 1.0 with fakelib 1.5" in text
    assert "is identical with 1.2" in text
    assert "not comparable" in text
    assert "1.3" in text
    assert "1.4" in text


@pytest.mark.parametrize("end", ["1.0", "1.7"])
def test_an_end_that_fails_is_no_verdict(run: Bench, end: str) -> None:
    """It is named with its reason; nothing is searched."""
    code, text = summary(run(lambda version: "it broke" if version == end else 0))
    assert 4 == code
    assert f"fakelib {end} is one of the two ends and could not be compared" in text
    assert "it broke" in text
    assert len(run.trained) <= 2


@pytest.mark.parametrize("end", ["1.0", "1.7"])
def test_an_end_that_cannot_be_installed_is_wrong_use(run: Bench, end: str) -> None:
    """Nobody can answer that question here."""
    run.uninstallable = (end,)
    with pytest.raises(SpecError, match="no matching distribution"):
        run(lambda version: 0)


def test_a_second_start_trains_nothing_again(run: Bench) -> None:
    """It gives the same result."""
    first = run(lambda version: int(version >= "1.4"))
    count = len(run.trained)
    again = run(lambda version: int(version >= "1.4"))
    assert count == len(run.trained)
    assert first.bisect == again.bisect


def test_one_that_was_stopped_goes_on(run: Bench, tmp_path: Path) -> None:
    """What was trained before Ctrl-C stays, with a report that gives no verdict."""

    def stopped(version: str) -> int:
        if version not in ("1.0", "1.7"):
            raise KeyboardInterrupt
        return int(version >= "1.4")

    with pytest.raises(KeyboardInterrupt):
        run(stopped)
    left = Report.read(tmp_path / "out")
    assert (4, "the bisection was interrupted") == summary(left)
    run.trained.clear()
    assert "with fakelib 1.4" in summary(run(lambda version: int(version >= "1.4")))[1]
    assert not {"1.0", "1.7"} & set(run.trained)


def test_a_downgrade_is_walked_down(run: Bench) -> None:
    """From the newer, taken as good, to the older."""
    _, text = summary(run(lambda version: int(version >= "1.4"), "1.7", "1.0"))
    assert "training first differs from fakelib 1.7 with fakelib 1.3" in text


def test_releases_for_another_python_are_named(run: Bench) -> None:
    """They are not among those that were searched."""
    report = run(lambda version: int(version >= "1.4"), unfit=["1.2"])
    assert report.bisect is not None
    assert [("1.2", "not for this Python")] == [
        (each.version, each.why) for each in report.bisect.skipped
    ]
    assert 7 == report.bisect.released
