"""Records and reports as DataFrames, and nothing of pandas before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import SpecError
from harness.results.frames import comparisons, curves, runs, tensors
from tests.support.records import TENSORS, draft
from tests.support.run_folders import pair_report
from tests.support.small_report import ORIGIN, small_report
from tests.support.traced_commands import traced_command


def test_curves_have_a_row_for_each_update(tmp_path: Path) -> None:
    """A value that was not recorded is NaN; a command has no task's loss."""
    frame = curves(traced_command().write(tmp_path / "record"))
    assert [1, 2, 3, 4, 5, 6] == frame["step"].tolist()
    assert bool(frame["task_loss"].isna().all())
    assert 2 * 0.75 + 3 / 16 == frame["loss"][0]


def test_digests_keep_all_digits(tmp_path: Path) -> None:
    """Also in a column with nulls, which pandas would make floats."""
    made = draft()
    made.tensor(2, TENSORS[0])["optimizer_state"] = None
    frame = tensors(made.write(tmp_path / "record"))
    row = frame[(frame["step"] == 3) & (frame["tensor"] == TENSORS[1])].iloc[0]
    assert made.tensor(3, TENSORS[1])["optimizer_state"] == int(row["optimizer_state"])
    assert 1 == int(frame["optimizer_state"].isna().sum())


def test_frames_of_many_reports_can_be_stacked() -> None:
    """Each row names its run, date, seed, versions and commit; what is not known is missing."""
    import pandas as pd

    first = small_report(recipes={"tiny": {"seed": 7}})
    second = small_report(origin=ORIGIN.model_copy(update={"name": "later"}), environment={})
    for make in (comparisons, runs):
        stacked = pd.concat([make(first), make(second)], ignore_index=True)
        assert {ORIGIN.name, "later"} == set(stacked["run"])
        assert {ORIGIN.started_at} == set(stacked["date"])
        known = stacked[stacked["run"] == ORIGIN.name]
        assert [{7}, {"0123456789abcdef+"}] == [set(known["seed"]), set(known["commit"])]
        assert {"3.11"} == set(known["python"])
        unknown = stacked[stacked["run"] == "later"]
        assert bool(unknown[["seed", "commit", "python", "torch"]].isna().all().all())


def test_a_report_has_a_row_for_each_pair_and_run(tmp_path: Path) -> None:
    """With the place of the first divergence."""
    report = pair_report(tmp_path)
    pairs, made = comparisons(report), runs(report)
    assert [("different", 3, "loss", 0.5, 0.75)] == list(
        pairs[["outcome", "step", "stage", "reference_value", "candidate_value"]].itertuples(
            index=False, name=None
        )
    )
    assert ["plain", "trainer"] == made["loop"].tolist()
    assert [0.875, 0.875] == made["final_accuracy"].tolist()


def test_a_report_without_runs_has_columns(tmp_path: Path) -> None:
    """So that a script that filters by them goes on."""
    empty = pair_report(tmp_path).model_copy(update={"comparisons": (), "runs": ()})
    assert (0, 0) == (len(comparisons(empty)), len(runs(empty)))
    assert {"outcome", "stage"} <= set(comparisons(empty).columns)


def test_pandas_is_imported_at_the_first_use(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without it a frame is refused with one line; all modules of the core are imported."""
    code = (
        "import sys, harness.results.frames, harness.report.export; print('pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "False" == done.stdout.strip()
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(SpecError, match="needs pandas"):
        curves(draft().write(tmp_path / "record"))
