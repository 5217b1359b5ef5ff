"""Records and comparisons from Python: harness.load, harness.compare, and how reports are shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import harness
from harness.api.load import Source
from tests.support.records import draft
from tests.support.traced_commands import traced_command


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The records of one loop and of the same loop with another loss at step 3."""
    monkeypatch.chdir(tmp_path)
    one, other = draft(), draft()
    other.micro_batch(3)["loss"] = 0.75
    other.micro_batch(3)["task_loss"] = 0.75
    return one.write(tmp_path / "one").folder, other.write(tmp_path / "other").folder


def test_equal_records_are_identical_in_any_form(tmp_path: Path, two: tuple[Path, Path]) -> None:
    """A text, a path, a loaded record; the report is in the folder that was asked for."""
    again = draft().write(tmp_path / "again")
    forms: tuple[Source, ...] = (str(two[0]), two[0], harness.load(two[0]))
    for number, form in enumerate(forms):
        out = tmp_path / f"out{number}"
        report = harness.compare(form, again, out)
        assert "equivalent" == report.verdict
        assert out == report.folder
        assert (out / "report.html").is_file()


def test_a_planted_difference_is_found(two: tuple[Path, Path]) -> None:
    """Control: at its step and stage; without a folder the report goes to `reports/`."""
    report = harness.compare(*two)
    first = report.comparisons[0].first_divergence
    assert "different" == report.verdict
    assert first is not None
    assert (3, "loss") == (first.step, first.stage)
    assert report.folder is not None
    assert "reports" == report.folder.parent.name


def test_a_report_prints_in_a_few_lines(two: tuple[Path, Path]) -> None:
    """The place of the first difference and the verdict, not the fields of the object."""
    text = str(harness.compare(*two))
    assert "first at step 3, micro-batch 1 in loss" in text
    assert text.endswith("verdict: different")
    assert 3 >= text.count("\n")


def test_a_report_has_frames_and_records(two: tuple[Path, Path]) -> None:
    """By pair, by run, and the record of each run."""
    report = harness.compare(*two)
    assert ["different"] == report.frame()["outcome"].tolist()
    assert 2 == len(report.frame("runs"))
    assert [two[0].name, two[1].name] == [one.folder.name for one in report.records.values()]
    with pytest.raises(harness.SpecError, match="unknown frame of a report"):
        report.frame("rnus")


def test_a_record_has_its_traces_as_frames(two: tuple[Path, Path]) -> None:
    """With as many rows as the record."""
    record = harness.load(two[1])
    assert [1, 2, 3, 4, 5, 6] == record.steps["step"].tolist()
    assert 0.75 == record.micro_batches["loss"][record.micro_batches["step"] == 3].iloc[0]
    assert {"gradient", "weight", "optimizer_state"} <= set(record.tensors.columns)
    assert {"gradient", "applied"} <= set(record.norms.columns)
    assert repr(record).startswith("<Record plain: 6 updates, completed, in ")


def test_a_folder_of_several_records_is_refused_with_their_names(two: tuple[Path, Path]) -> None:
    """So is what is no folder of a run at all."""
    report = harness.compare(*two)
    assert report.folder is not None
    with pytest.raises(harness.SpecError, match=r"met 2 in .*: pass one of them: .*one, .*other"):
        harness.load(report.folder)
    with pytest.raises(harness.SpecError, match="must exist"):
        harness.load("nowhere")
    with pytest.raises(harness.SpecError, match="a value of type int"):
        harness.compare(3, two[0])  # type: ignore[arg-type]  # on purpose


def test_names_of_parameters_are_matched_by_rename(tmp_path: Path) -> None:
    """A prefix that no rule could find; without it the two differ."""
    one, other = traced_command("one"), traced_command("other")
    for row in other.rows["tensors"]:
        row["tensor"] = f"odd.{row['tensor']}"
    report = harness.compare(
        one.write(tmp_path / "one"),
        other.write(tmp_path / "other"),
        tmp_path / "out",
        rename={"odd.": ""},
    )
    assert any("--rename" in line for line in report.comparisons[0].alignment)


@pytest.mark.parametrize(
    ("asked", "met"),
    [
        ({"case": "paraphrse"}, "did you mean 'paraphrase'"),
        ({"loops": ["plain"]}, "a bench compares an arm with the first one"),
        ({"loops": ["plain", "trainr"]}, "did you mean 'trainer'"),
        ({"sessions": 1}, "sessions=1"),
        ({"budget_s": 0}, "a bench takes time"),
        ({"margin": "x"}, "a margin is a positive number"),
        ({"beside": "al"}, "unknown value for beside"),
        ({"arms": ["fast"]}, "--arm takes NAME=LOOP"),
    ],
)
def test_a_bench_that_does_not_fit_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], met: str
) -> None:
    """Before anything is started or written."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(harness.SpecError, match=met) as caught:
        harness.bench(**asked)
    assert "\n" not in str(caught.value)
    assert [] == list(tmp_path.iterdir())
