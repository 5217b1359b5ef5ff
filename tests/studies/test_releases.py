"""The study of neighbouring releases, with environments and runs that are made up."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from rich.console import Console

from harness.errors import SpecError
from harness.execution.environments.interpreter import Libraries
from harness.execution.environments.releases import Releases
from harness.execution.parent.runner import Run
from harness.results.record import RunRecord
from studies import releases
from studies.release_pairs import train as training
from studies.release_pairs.choose import LIBRARIES, chosen, cuda_build
from studies.release_pairs.controls import CONTROLS, Control, mistakes, plant
from studies.release_pairs.page import table
from studies.release_pairs.rows import DIFFERENT, IDENTICAL, rows_of
from studies.releases import LEAST, study_releases, summary
from tests.support.records import draft

ROOT = Path(__file__).parents[2]
VERSIONS = ("1.0", "1.1", "1.2", "1.3")
Change = Callable[[str, str, str, str], int | str]
"""By version of the library, of its helper, mode and loop: a number on which the values of the run
depend, or why it fails."""


class Studied:
    """Runs the study over made-up releases, and remembers what was trained."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.versions: Sequence[str] = VERSIONS
        self.trained: list[tuple[str, str, str]] = []
        self.change: Change = lambda *_: 0
        self.uninstallable: tuple[str, ...] = ()
        self.interrupt_at: int | None = None
        self.libraries: dict[str, str] = {}
        monkeypatch.setattr(training, "environment_with", self._environment)
        monkeypatch.setattr(training, "run_all", self._run_all)

    def __call__(self) -> dict[str, Any]:
        self.trained = []
        result: dict[str, Any] = {"controls": [], "releases": [], "pairs": []}
        study_releases("fakelib", self.versions, VERSIONS, self.folder, result)
        text = (self.folder / "result.json").read_text(encoding="utf-8")
        written: dict[str, Any] = json.loads(text)
        return written

    def _environment(self, wanted: Sequence[Requirement], *_: Any) -> Libraries:
        exact = {each.name: str(each.specifier).removeprefix("==") for each in wanted}
        version = exact["fakelib"]
        if version in self.uninstallable or exact.get("helper", "2") not in ("1", "2"):
            raise SpecError("pip can install it here", "no matching distribution", "ask for others")
        needed = "2" if version >= "1.2" else "1"
        self.libraries = {"fakelib": version, "helper": exact.get("helper", needed)}
        return Libraries(str(self.folder / "env" / "bin" / "python"), self.libraries)

    def _run_all(self, runs: Sequence[Run], *_: Any, **__: Any) -> list[RunRecord]:
        for run in runs:
            if self.interrupt_at == len(self.trained):
                self.interrupt_at = None
                raise KeyboardInterrupt
            version, helper = self.libraries["fakelib"], self.libraries["helper"]
            mode, loop = run.spec.conventions, run.spec.loop
            self.trained.append((version, mode, loop))
            value = self.change(version, helper, mode, loop)
            made = draft()
            made.header["spec"] = run.spec
            if isinstance(value, int):
                made.step(3)["weights"] ^= value
            else:
                made.header |= {"status": "failed", "error": value}
            made.write(run.folder)
        return []


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Studied:
    return Studied(tmp_path / "out", monkeypatch)


def outcomes(result: dict[str, Any]) -> list[set[str]]:
    """The outcomes of each pair, the oldest first."""
    return [{row["outcome"] for row in pair["rows"]} for pair in reversed(result["pairs"])]


def test_each_release_is_compared_with_the_one_before_it_in_all_loops_and_modes(
    study: Studied,
) -> None:
    result = study()
    pairs = [(pair["from"], pair["to"]) for pair in reversed(result["pairs"])]
    assert list(pairwise(VERSIONS)) == pairs
    assert [{IDENTICAL}] * 3 == outcomes(result)
    assert [6] * 3 == [len(pair["rows"]) for pair in result["pairs"]]
    assert 6 * len(VERSIONS) == len(study.trained)
    assert (3, 3, 0) == (
        result["neighbouring pairs"],
        result["pairs that are identical"],
        result["pairs that differ"],
    )
    assert [True] * 4 == [each["loops_alike"] for each in result["releases"]]


def test_a_planted_difference_is_in_the_table_at_its_pair_mode_loop_and_place(
    study: Studied,
) -> None:
    study.change = lambda version, _, mode, loop: int(
        version >= "1.3" and (mode, loop) == ("native", "trainer")
    )
    result = study()
    assert [{IDENTICAL}, {IDENTICAL}, {IDENTICAL, DIFFERENT}] == outcomes(result)
    (row,) = (row for row in result["pairs"][0]["rows"] if row["outcome"] == DIFFERENT)
    assert ("native", "trainer", 3, "weights") == (
        row["mode"],
        row["loop"],
        row["step"],
        row["stage"],
    )
    (line,) = (line for line in table(result).splitlines() if "| 1.3 |" in line)
    assert "plain, accelerated: identical; trainer: step 3, weights" in line
    assert 1 == table(result).count("step 3, weights")


def test_loops_that_differ_from_each_other_are_reported_by_release(study: Studied) -> None:
    study.change = lambda version, _, mode, loop: int(version == "1.1" and loop == "trainer")
    alike = {each["version"]: each["loops_alike"] for each in study()["releases"]}
    assert {"1.0": True, "1.1": False, "1.2": True, "1.3": True} == alike


@pytest.mark.parametrize(
    ("guilty", "answer"),
    [("library", "the same differences"), ("helper", "identical, so they are the cause")],
)
def test_where_another_package_changed_too_it_is_held(
    study: Studied, guilty: str, answer: str
) -> None:
    """1.2 needs helper 2. With helper 1, it differs from 1.1 only if the library is the reason."""
    study.change = lambda version, helper, *_: int(
        version >= "1.2" if guilty == "library" else helper == "2"
    )
    result = study()
    pair = result["pairs"][1]
    assert {"helper": ["1", "2"]} == pair["moved"]
    assert {"helper": "1"} == pair["held"]["packages"]
    assert f"1.2 with helper 1: {answer}" in table(result)
    assert [False, True, False] == ["held" in each for each in result["pairs"]]


def test_a_release_that_cannot_be_installed_is_named_and_its_neighbours_are_compared(
    study: Studied,
) -> None:
    study.uninstallable = ("1.1",)
    result = study()
    assert [("1.0", "1.2", ["1.1"]), ("1.2", "1.3", [])] == [
        (pair["from"], pair["to"], pair["between"]) for pair in reversed(result["pairs"])
    ]
    assert 1 == result["releases not trained"]
    assert 1 == result["neighbouring pairs"]
    assert "| 1.0 | 1.2 (1 between) |" in table(result)
    assert "- fakelib 1.1: pip can install it here" in table(result)


def test_a_pair_with_a_release_between_is_no_neighbouring_pair(study: Studied) -> None:
    study.versions = ("1.0", "1.2", "1.3")
    result = study()
    assert [["1.1"], []] == [pair["between"] for pair in reversed(result["pairs"])]
    assert {"fakelib": 1} == result["neighbouring pairs of each library"]


def test_a_run_that_fails_is_not_compared_and_says_why(study: Studied) -> None:
    study.change = lambda version, _, mode, loop: (
        "ImportError: no name" if (version, mode, loop) == ("1.1", "matched", "trainer") else 0
    )
    result = study()
    assert 2 == result["pairs with a run that was not compared"]
    assert 1 == result["pairs that are identical"]
    assert 2 == table(result).count("failed: ImportError: no name")
    assert 2 == table(result).count("trainer: not compared")


def test_what_was_trained_is_not_trained_again_after_an_interrupt(study: Studied) -> None:
    """Also the runs of the release in which it was interrupted."""
    study.change = lambda version, *_: int(version >= "1.3")
    study.interrupt_at = 9
    with pytest.raises(KeyboardInterrupt):
        study()
    before = list(study.trained)
    assert 9 == len(before)
    partial = json.loads((study.folder / "result.json").read_text(encoding="utf-8"))
    assert 1 == len(partial["releases"])
    result = study()
    assert 6 * len(VERSIONS) - 9 == len(study.trained)
    assert [{IDENTICAL}, {IDENTICAL}, {DIFFERENT}] == outcomes(result)
    assert study() == result
    assert [] == study.trained


def test_a_failed_run_is_tried_again(study: Studied) -> None:
    study.change = lambda version, *_: "no memory" if version == "1.0" else 0
    study()
    study.change = lambda *_: 0
    assert [{IDENTICAL}] * 3 == outcomes(study())
    assert 6 == len(study.trained)


def test_the_releases_of_a_range_are_sorted_by_number_without_local_twins() -> None:
    known = ["2.10.0", "2.9.1", "2.13.0", "2.13.0+cpu", "2.7.0", "2.14.0+cpu"]
    found = chosen([Requirement("torch>=2.8")], known)
    assert ["2.9.1", "2.10.0", "2.13.0", "2.14.0+cpu"] == found
    assert ["2.7.0", "2.14.0+cpu"] == chosen(
        map(Requirement, ("torch<2.8", "torch>2.13")), [*known, "2.14.0+cpu"]
    )


def test_a_build_for_cuda_is_recognized_by_what_it_needs_here() -> None:
    elsewhere = 'nvidia-nccl; platform_system == "Nowhere"'
    assert "" == cuda_build(["numpy", elsewhere, 'cuda-python; extra == "all"'])
    assert "nvidia-cublas" in cuda_build(["numpy", 'nvidia-cublas<14; python_version > "3"'])


def test_the_ranges_are_those_of_the_project() -> None:
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    supported = content["project"]["optional-dependencies"]["train"]
    assert [text for text in LIBRARIES if not text.startswith("accelerate")] == [
        text for text in reversed(supported) if text.startswith(("transformers", "torch"))
    ]


def test_of_a_library_with_one_build_none_is_trained(
    study: Studied, monkeypatch: pytest.MonkeyPatch
) -> None:
    reasons = {"fakelib==1.3": ""}
    monkeypatch.setattr(releases, "unfit", lambda each: reasons.get(str(each), "for CUDA"))
    result = study()
    assert [] == study.trained
    assert "- fakelib 1.0, 1.1, 1.2: for CUDA" in table(result)
    assert "- fakelib 1.3: there is no other to compare it with" in table(result)


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.library)
def test_a_control_changes_its_line_once(control: Control, tmp_path: Path) -> None:
    path = tmp_path / "lib" / "python3.11" / "site-packages" / control.file
    path.parent.mkdir(parents=True)
    path.write_text(f"first\n{control.old}last\n", encoding="utf-8")
    for _ in range(2):  # also in an environment that is left from a stopped study
        plant(control, tmp_path)
        assert f"first\n{control.new}last\n" == path.read_text(encoding="utf-8")
    path.write_text(control.old * 2, encoding="utf-8")
    with pytest.raises(ValueError, match="once"):
        plant(control, tmp_path)


def test_a_control_that_is_not_found_where_its_line_acts_is_a_mistake(study: Studied) -> None:
    """The made-up change acts in step 3 of all loops: there and only there."""
    changed: list[Path] = []
    study.change = lambda *_: int(bool(changed))
    control = replace(CONTROLS[0], library="fakelib", version="1.0", loops=training.LOOPS, step=3)
    exact, console = [Requirement("fakelib==1.0")], Console(quiet=True)
    one = training.train(exact, study.folder / "one", console)
    two = training.train(exact, study.folder / "two", console, changed.append)
    assert [study.folder / "env"] == changed
    rows = rows_of(one, two)
    assert [] == mistakes(control, rows)
    assert 6 == len(mistakes(replace(control, step=4), rows))
    assert 2 == len(mistakes(replace(control, loops=("plain", "trainer")), rows))
    assert 6 == len(mistakes(control, rows_of(one, one)))


PUBLISHED = ROOT / "reports" / "published" / "releases"
RESULT = json.loads((PUBLISHED / "result.json").read_text(encoding="utf-8"))


def test_the_published_page_has_the_table_of_its_result() -> None:
    assert table(RESULT) in (PUBLISHED / "README.md").read_text(encoding="utf-8")
    assert summary(RESULT) == {name: RESULT[name] for name in summary(RESULT)}
    assert dict(training.SETTINGS) == RESULT["settings"]
    assert LEAST <= RESULT["neighbouring pairs"]
    assert (
        len(CONTROLS)
        == RESULT["changed lines"]
        == RESULT["changed lines that are found where they act"]
    )


def test_too_few_pairs_end_with_exit_code_1(
    study: Studied, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releases, "released", lambda name: Releases(VERSIONS, ()))
    with pytest.raises(SystemExit) as ended:
        releases.main(study.folder, ["fakelib"], controls=False)
    assert 1 == ended.value.code
    assert "| fakelib | 1.2 | 1.3 |" in (study.folder / "README.md").read_text(encoding="utf-8")
