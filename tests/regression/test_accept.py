"""What becomes a baseline, and what is refused."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.regression.accept import accept
from harness.regression.baseline import find_baselines, previous_baselines, read
from harness.results.sessions import Session
from tests.support.made_up_runs import bench_folder, made_up_draft, timed
from tests.support.records import write_run_folder


def test_a_bench_becomes_a_baseline(tmp_path: Path) -> None:
    """Facts of each loop, raw samples, ratios with intervals, key, commit and reason are kept."""
    run = bench_folder(tmp_path / "run")
    (accepted,) = accept(run, tmp_path / "baselines", "why not")

    kept = read(accepted.path)
    assert ("tiny", "why not", "bench") == (kept.case, kept.reason, kept.made_by)
    assert "0123456789abcdef" == kept.commit
    assert {"plain", "trainer"} == kept.loops.keys()
    facts = kept.loops["plain"]
    assert (6, 12, 48, 30) == (facts.steps, facts.micro_batches, facts.samples, facts.parameters)
    losses = [(2 * 0.75 / step + 1 / 16 + 2 / 16) / 2 for step in range(1, 7)]
    assert losses == pytest.approx(facts.traces["loss_trace"].first)
    assert kept.speeds is not None
    assert 6 == len(kept.speeds.sessions)
    ratio, low, high = kept.ratios["trainer"]
    assert low < ratio < high
    assert "5.23" == kept.key.transformers
    assert accepted.former is None


def test_the_former_one_is_kept_and_changes_are_shown(tmp_path: Path) -> None:
    """Byte for byte, by number; what changed is listed as a check would list it."""
    where = tmp_path / "baselines"
    (first,) = accept(bench_folder(tmp_path / "one"), where, "first")
    before = first.path.read_bytes()
    slower = bench_folder(tmp_path / "two", made=timed(loop=1.2, seed=1))

    (second,) = accept(slower, where, "second")

    assert first.path == second.path
    assert ["regressed"] == [i.listed for i in second.changes if i.listed in ("regressed",)]
    (old,) = previous_baselines(first.path)
    assert before == old.path.read_bytes()
    accept(slower, where, "third")
    assert ["0001.json", "0002.json"] == [one.path.name for one in previous_baselines(first.path)]


def test_a_run_has_facts_and_no_speeds(tmp_path: Path) -> None:
    """Of `harness run`: whole runs, whose speeds are missing."""
    write_run_folder(tmp_path / "run", {"plain": made_up_draft()})
    (accepted,) = accept(tmp_path / "run", tmp_path / "one.json", "facts")
    assert tmp_path / "one.json" == accepted.path
    assert ("run", None) == (accepted.baseline.made_by, accepted.baseline.speeds)


def spoiled(value: float) -> list[Session]:
    found = timed()
    block = replace(found[0].blocks[0], wall_s=value)
    return [replace(found[0], blocks=(block, *found[0].blocks[1:])), *found[1:]]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (spoiled(math.nan), "positive number of seconds"),
        (spoiled(-1.0), "positive number of seconds"),  # as of a clock that was set back
        (timed(by=0.3), "speeds need a control"),
        (timed(count=2), "3 sessions or more"),
    ],
)
def test_speeds_that_are_none_are_refused(
    made: list[Session], message: str, tmp_path: Path
) -> None:
    """NaN, a clock that went back, a bad control, too few: one line, and nothing is written."""
    run = bench_folder(tmp_path / "run", made=made)
    with pytest.raises(HarnessError, match=message):
        accept(run, tmp_path / "baselines", "no")
    assert not (tmp_path / "baselines").exists()


def test_a_run_that_proves_nothing_is_refused(tmp_path: Path) -> None:
    """A failed run, a loss that stands still, zero gradients, no reason."""
    failed = made_up_draft()
    failed.header |= {"status": "failed", "error": "it fell"}
    still = made_up_draft()
    for row in still.rows["micro_batches"]:
        row["loss"] = 0.7
    zero = made_up_draft()
    for row in zero.rows["steps"]:
        row["grad_norm"] = 0.0
    wild = made_up_draft()
    wild.micro_batch(3)["loss"] = math.nan
    for number, (made, message) in enumerate(
        ((failed, "completed"), (still, "loss never changed"), (zero, "zero"), (wild, "nan"))
    ):
        write_run_folder(tmp_path / f"{number}", {"plain": made})
        with pytest.raises(HarnessError, match=message):
            accept(tmp_path / f"{number}", tmp_path / "baselines", "no")
    write_run_folder(tmp_path / "good", {"plain": made_up_draft()})
    with pytest.raises(HarnessError, match="needs a reason"):
        accept(tmp_path / "good", tmp_path / "baselines", "  ")
    assert not (tmp_path / "baselines").exists()


def test_nothing_rests_on_dates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock set back the later one is still the one that counts, and the history's order
    is that of acceptance."""
    where = tmp_path / "baselines"
    (first,) = accept(bench_folder(tmp_path / "run"), where, "first")
    raw = json.loads(first.path.read_text())
    assert raw["accepted_at"] > "2000"

    class Back:
        @staticmethod
        def now(zone: object) -> object:
            from datetime import UTC, datetime

            return datetime(1970, 1, 1, tzinfo=UTC)

    monkeypatch.setattr("harness.regression.accept.datetime", Back)
    accept(tmp_path / "run", where, "second")
    (now,) = find_baselines(where, "tiny")
    assert "second" == now.baseline.reason
    assert now.baseline.accepted_at.startswith("1970")
    assert ["first"] == [one.baseline.reason for one in previous_baselines(first.path)]


def test_a_file_of_another_case_is_not_overwritten(tmp_path: Path) -> None:
    """It is refused, and stays as it was."""
    path = tmp_path / "one.json"
    write_run_folder(tmp_path / "run", {"plain": made_up_draft()})
    accept(tmp_path / "run", path, "one")
    before = path.read_bytes()
    write_run_folder(tmp_path / "other", {"plain": made_up_draft(case="other")})
    with pytest.raises(HarnessError, match="a file holds the baseline of one case"):
        accept(tmp_path / "other", path, "two")
    assert before == path.read_bytes()
