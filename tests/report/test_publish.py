"""A published report is its pages; with records, only the per-tensor traces are thinned."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.comparison.compare_folders import compare_folders
from harness.errors import RecordError, SpecError
from harness.report.publish import publish
from harness.results.record import RunRecord
from harness.results.report import Report
from tests.support.records import draft, write_run_folder


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """An output folder with two equal runs."""
    write_run_folder(tmp_path / "run", {"plain": draft(), "trainer": draft("trainer")})
    return tmp_path / "run"


def test_only_the_pages_are_published(run_folder: Path, tmp_path: Path) -> None:
    """The pages are those of the whole copy; records stay behind, and the report is readable."""
    target = tmp_path / "published" / "name"
    assert "page, Markdown and JSON" == publish(run_folder, target)
    assert ["report.html", "report.json", "report.md"] == sorted(
        path.name for path in target.iterdir()
    )
    whole = tmp_path / "whole"
    publish(run_folder, whole, records=True)
    for name in ("report.html", "report.md"):
        assert (whole / name).read_bytes() == (target / name).read_bytes()
    assert Report.read(whole) == Report.read(target)
    assert "--out" not in Report.read(target).command


def test_a_published_report_without_records_is_not_compared(
    run_folder: Path, tmp_path: Path
) -> None:
    """One line states what is missing."""
    target = tmp_path / "published" / "name"
    publish(run_folder, target)
    with pytest.raises(RecordError, match=r"record\.json"):
        compare_folders(run_folder, target, tmp_path / "compared", ["harness"])


def test_a_small_run_is_published_whole_with_its_records(run_folder: Path, tmp_path: Path) -> None:
    """Below the limit nothing is left out, and the published folder compares as the run does."""
    target = tmp_path / "published" / "name"
    assert "with records" == publish(run_folder, target, records=True)
    report, _ = compare_folders(run_folder, target, tmp_path / "compared", ["harness"])
    assert "equivalent" == report.verdict


def test_a_large_run_is_thinned_until_it_fits(run_folder: Path, tmp_path: Path) -> None:
    """Tensors are kept at every k-th step and the first; steps and verdict stay."""
    whole = tmp_path / "whole"
    publish(run_folder, whole, records=True)
    size = sum(path.stat().st_size for path in whole.rglob("*") if path.is_file())
    thin = tmp_path / "thin"
    content = publish(run_folder, thin, records=True, limit_bytes=size - 1)
    assert "with records, per-tensor traces every 2 steps" == content
    for run in Report.read(thin).runs:
        record = RunRecord(thin / run.record)
        assert 2 == record.header.tensors_every
        assert 6 == len(record.steps)
        assert len(record.tensors) < len(RunRecord(whole / run.record).tensors)
    report, _ = compare_folders(whole, thin, tmp_path / "compared", ["harness"])
    assert "equivalent" == report.verdict


def test_what_does_not_fit_or_exists_is_refused(run_folder: Path, tmp_path: Path) -> None:
    """Nothing is overwritten, and nothing is left of a report that is too large."""
    target = tmp_path / "published"
    with pytest.raises(SpecError, match="stays below 10 bytes"):
        publish(run_folder, target, limit_bytes=10)
    assert not target.exists()
    target.mkdir()
    with pytest.raises(SpecError, match="a new name"):
        publish(run_folder, target)


def test_a_record_that_lies_elsewhere_is_taken_in(run_folder: Path, tmp_path: Path) -> None:
    """A comparison's records stand in the folders that it compared; the copy needs none of them."""
    other = tmp_path / "other"
    write_run_folder(other, {"plain": draft(), "trainer": draft("trainer")})
    compare_folders(run_folder, other, tmp_path / "compared", ["harness"])
    target = tmp_path / "published" / "name"
    publish(tmp_path / "compared", target, records=True)
    assert ["name"] == [path.name for path in target.parent.iterdir()]
    places = [run.record for run in Report.read(target).runs]
    assert len(set(places)) == 4
    for place in places:
        assert place.startswith("records/")
        assert RunRecord(target / place).header.status == "completed"
