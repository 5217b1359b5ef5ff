"""What one process of several could not record, the merged record states."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.comparison.compare import compare
from harness.results.ranks import gather, rank_folder
from harness.results.record import RunRecord
from tests.support.records import draft


def gathered(folder: Path, **of_rank_1: object) -> RunRecord:
    """The record of two processes; the second has these facts in its header."""
    draft().write(rank_folder(folder, 0))
    draft(**of_rank_1).write(rank_folder(folder, 1))  # type: ignore[arg-type]  # facts of a header
    gather(folder, 2)
    return RunRecord(folder)


@pytest.mark.parametrize(
    ("fact", "value", "outcome"),
    [
        ("probe_fault", "KeyError: 0", "incomparable"),
        ("unseen", ("the passes before the first step were not seen",), "inconclusive"),
    ],
)
def test_what_one_process_lacks_is_no_agreement(
    tmp_path: Path, fact: str, value: object, outcome: str
) -> None:
    """A record whose second process failed to record is never identical with another."""
    sound = [gathered(tmp_path / name) for name in ("one", "two")]
    lacking = gathered(tmp_path / "three", **{fact: value})

    assert "identical" == compare(sound[0], sound[1], ("one", "two")).outcome
    assert outcome == compare(sound[0], lacking, ("one", "three")).outcome


def test_a_fault_of_the_probe_names_its_rank(tmp_path: Path) -> None:
    """So its log can be found."""
    record = gathered(tmp_path, probe_fault="KeyError: 0")

    assert "rank 1: KeyError: 0" == record.header.probe_fault
