"""A run compared with a log: as far as the log goes, and never identical."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.comparison.compare_folders import compare_folders
from harness.comparison.logs import compare_log
from harness.errors import SpecError
from harness.results.comparison import Comparison
from harness.results.curves import curve_table
from harness.results.imported.read import read_log
from harness.results.record import RunRecord
from harness.results.report import Report
from tests.support.logs import trainer_history, write_csv, write_events, write_state
from tests.support.records import Draft, draft, write_run_folder

Spoiled = Callable[[Draft], object]
Row = dict[str, Any]


def compared(folder: Path, log: Path, made: Draft | None = None) -> Comparison:
    """The log as the reference, and a record of `made`."""
    record = (made or draft()).write(folder / "candidate")
    return compare_log("tiny", ("log", "run"), read_log(log), record)


def state_of(folder: Path, made: Draft | None = None, **how: Any) -> Path:
    """The Trainer's log of a run that was as `made`."""
    record = (made or draft()).write(folder / "old")
    return write_state(folder / "trainer_state.json", trainer_history(record, **how))


def rows_of(record: RunRecord, names: Sequence[str] = ("loss", "learning_rate")) -> list[Row]:
    """The curves of a record as a script logs them, with some of their columns."""
    return [
        {name: row[name] for name in ("step", *names)} for row in curve_table(record).to_pylist()
    ]


@pytest.mark.parametrize("digits", [4, None])
@pytest.mark.parametrize("every", [1, 2, 3])
def test_an_equal_run_is_inconclusive(tmp_path: Path, every: int, digits: int | None) -> None:
    """It says what was compared with which precision, and what a log does not hold."""
    found = compared(tmp_path, state_of(tmp_path, every=every, digits=digits))
    assert ("inconclusive", None, ()) == (found.outcome, found.first_divergence, found.stages)
    steps = f"{6 // every} steps"
    assert f"learning_rate at {steps} (all digits)" in found.doubts[0]
    assert f"loss at {steps}" in found.doubts[0]
    assert "eval_accuracy at 1 step (3 decimals)" in found.doubts[0]
    assert "not recorded in a log: initial_weights, data_order, batch_content" in found.doubts[1]
    assert not any("only if" in doubt for doubt in found.doubts)


def other_loss(made: Draft) -> None:
    made.micro_batch(4, 2)["loss"] += 2e-4


def other_rate(made: Draft) -> None:
    made.step(4)["learning_rate"][0] *= 1 + 1e-15


def other_norm(made: Draft) -> None:
    made.step(4)["grad_norm"] *= 1 + 1e-5


def other_metric(made: Draft) -> None:
    made.header["evaluations"][-1].metrics["accuracy"] = 0.75


FAULTS: list[tuple[Spoiled, str, int]] = [
    (other_loss, "loss", 4),
    (other_rate, "learning_rate", 4),
    (other_norm, "grad_norm", 4),
    (other_metric, "evaluation", 6),
]


@pytest.mark.parametrize(("spoil", "stage", "step"), FAULTS)
def test_a_logged_value_that_differs_is_found(
    tmp_path: Path, spoil: Spoiled, stage: str, step: int
) -> None:
    """With its step, its values and the precision of the log."""
    spoiled = draft()
    spoil(spoiled)
    found = compared(tmp_path, state_of(tmp_path), spoiled)
    first = found.first_divergence
    assert first is not None
    assert ("different", stage, step) == (found.outcome, first.stage, first.step)
    assert first.reference != first.candidate
    assert "was logged with " in first.detail
    assert [stage] == [one.stage for one in found.stages]


def test_a_difference_below_half_a_unit_of_the_last_digit_is_not_seen(tmp_path: Path) -> None:
    """The same difference in a log with all digits is; the mean of two updates halves it."""
    small = draft()
    small.micro_batch(4, 2)["loss"] += 0.9e-4
    made = draft()
    made.micro_batch(1, 1)["loss"] += 1e-5  # the digits of the log
    small.micro_batch(1, 1)["loss"] += 1e-5
    rounded = compared(tmp_path / "a", state_of(tmp_path / "a", made, digits=4), small)
    assert ("inconclusive", True) == (rounded.outcome, "(4 decimals)" in rounded.doubts[0])
    exact = compared(tmp_path / "b", state_of(tmp_path / "b", made), small)
    assert "different" == exact.outcome


def test_the_order_of_the_pair_is_kept(tmp_path: Path) -> None:
    """The log may be the candidate."""
    spoiled = draft()
    other_loss(spoiled)
    log = read_log(state_of(tmp_path))
    record = spoiled.write(tmp_path / "new")
    one = compare_log("tiny", ("log", "run"), log, record).first_divergence
    two = compare_log("tiny", ("run", "log"), record, log).first_divergence
    assert one is not None
    assert two is not None
    assert (one.reference, one.candidate) == (two.candidate, two.reference)


def test_the_loss_is_the_mean_over_the_processes(tmp_path: Path) -> None:
    """Each backward pass of each process counts; the mean of twice as much is no agreement."""
    made = draft()
    case = made.header["spec"].case.model_copy(update={"world_size": 2})
    made.header["spec"] = made.header["spec"].model_copy(update={"case": case})
    log = state_of(tmp_path, made)
    assert "inconclusive" == compared(tmp_path / "same", log, made).outcome
    assert "different" == compared(tmp_path / "one", log).outcome


def test_a_rate_may_be_that_of_the_next_update(tmp_path: Path) -> None:
    """Releases that rounded the loss logged either; so an agreement of the next is a doubt."""
    record = draft().write(tmp_path / "old")
    rows = curve_table(record).to_pylist()
    for digits, expected in ((4, "inconclusive"), (None, "different")):
        made = draft()
        made.micro_batch(1)["loss"] = 1 / 3  # a loss with all digits
        record = made.write(tmp_path / f"old-{digits}")
        history = trainer_history(record, digits=digits)
        for entry in history:
            if "loss" in entry:
                after = rows[entry["step"]] if entry["step"] < len(rows) else None
                entry["learning_rate"] = 0.0 if after is None else after["learning_rate"]
        log = write_state(tmp_path / f"{digits}.json", history)
        found = compared(tmp_path / f"new-{digits}", log, made)
        assert expected == found.outcome
        assert (digits == 4) == any("after the schedule's step" in text for text in found.doubts)


def test_a_loss_that_is_not_finite_is_replaced_as_the_trainer_does(tmp_path: Path) -> None:
    """By the mean so far; it is a doubt all the same. Another replacement differs."""
    made = draft()
    made.micro_batch(2, 1)["loss"] = math.nan
    values = [made.micro_batch(1, n)["loss"] for n in (1, 2)]
    total = sum(values)
    total += total / 2
    total += made.micro_batch(2, 2)["loss"]
    for loss, expected in ((total / 2, "inconclusive"), (total / 3, "different")):
        history = [{"loss": loss, "step": 2}]
        log = write_state(tmp_path / expected / "trainer_state.json", history)
        found = compared(tmp_path / expected, log, made)
        assert expected == found.outcome
        assert any("not finite at step 2" in doubt for doubt in found.doubts)


def test_a_window_may_begin_at_a_checkpoint(tmp_path: Path) -> None:
    """A log of a resumed training; the mean since another step is a difference."""
    record = draft().write(tmp_path / "old")
    rows = curve_table(record).to_pylist()
    for first, expected in ((5, "inconclusive"), (4, "different")):
        loss = sum(row["loss"] for row in rows[first - 1 :]) / (7 - first)
        history = [{"loss": rows[0]["loss"], "step": 1}, {"loss": loss, "step": 6}]
        log = write_state(tmp_path / f"{first}.json", history, save_steps=4)
        found = compared(tmp_path / str(first), log)
        assert expected == found.outcome
        resumed = any("resumed from a checkpoint at step 4" in doubt for doubt in found.doubts)
        assert (first == 5) == resumed


def test_nan_on_both_sides_is_never_an_agreement(tmp_path: Path) -> None:
    """And NaN on one side is a difference."""
    made = draft()
    made.step(3)["grad_norm"] = math.nan
    rows = rows_of(made.write(tmp_path / "old"), ["grad_norm"])
    log = write_csv(tmp_path / "log.csv", rows)
    found = compared(tmp_path, log, made)
    assert "inconclusive" == found.outcome
    assert any("grad_norm is not finite at step 3" in doubt for doubt in found.doubts)
    first = compared(tmp_path / "finite", log).first_divergence
    assert first is not None
    assert (3, "grad_norm") == (first.step, first.stage)


def losses(made: Draft, value: Callable[[list[float]], float]) -> list[float]:
    """By update, what a script makes of the losses of its micro-batches."""
    return [value([made.micro_batch(step, n)["loss"] for n in (1, 2)]) for step in range(1, 7)]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (sum, None),
        (lambda found: found[-1], "of the last micro-batch"),
        (lambda found: 2 * found[-1], "before its division by their number"),
        (lambda found: sum(found) / 2, "the mean over the micro-batches"),
        (lambda found: found[0], "nothing agrees"),
    ],
)
def test_a_script_may_log_another_loss_of_an_update(
    tmp_path: Path, value: Callable[[list[float]], float], words: str | None
) -> None:
    """A meaning is accepted if it fits every value, and the report states it."""
    rows = [
        {"step": step, "loss": found} for step, found in enumerate(losses(draft(), value), start=1)
    ]
    found = compared(tmp_path, write_csv(tmp_path / "log.csv", rows))
    assert ("different" if words == "nothing agrees" else "inconclusive") == found.outcome
    unclear = any("does not state what its loss is" in doubt for doubt in found.doubts)
    assert (words == "nothing agrees") == unclear
    assumed = [doubt for doubt in found.doubts if "agrees only if" in doubt]
    assert (words is not None and words != "nothing agrees") == bool(assumed)
    if assumed:
        assert str(words) in assumed[0]


def test_steps_may_count_from_zero(tmp_path: Path) -> None:
    """If everything agrees then; a run that is one update late differs all the same."""
    rows = rows_of(draft().write(tmp_path / "old"), ["loss", "learning_rate", "grad_norm"])
    from_zero = [{**row, "step": row["step"] - 1} for row in rows]
    log = write_csv(tmp_path / "log.csv", from_zero)
    found = compared(tmp_path / "same", log)
    assert "inconclusive" == found.outcome
    assert any("its steps count from 0" in doubt for doubt in found.doubts)
    spoiled = draft()
    other_norm(spoiled)
    first = compared(tmp_path / "other", log, spoiled).first_divergence
    assert first is not None
    assert (4, "grad_norm") == (first.step, first.stage)


def test_a_tensorboard_log_holds_single_precision(tmp_path: Path) -> None:
    """A rate agrees within half a unit of that, and not within two."""
    rows = rows_of(draft().write(tmp_path / "old"))
    scalars = [("train/learning_rate", row["step"], row["learning_rate"]) for row in rows]
    found = compared(tmp_path, write_events(tmp_path / "events", scalars))
    assert ("inconclusive", 6) == (found.outcome, found.steps)
    assert "learning_rate at 6 steps (single precision)" in found.doubts[0]
    spoiled = draft()
    spoiled.step(5)["learning_rate"][0] *= 1 + 2.4e-7
    first = compared(tmp_path / "other", tmp_path / "events", spoiled).first_divergence
    assert first is not None
    assert (5, "learning_rate") == (first.step, first.stage)


def test_one_of_several_rates_is_enough(tmp_path: Path) -> None:
    """A log holds one rate of a run with two; a rate that is neither differs."""
    made = draft()
    for row in made.rows["steps"]:
        row["learning_rate"].append(2 * row["learning_rate"][0])
        row["rate_of"][-1] = 1
    for factor, expected in ((1, "inconclusive"), (2, "inconclusive"), (3, "different")):
        rows = rows_of(draft().write(tmp_path / "old"), ["learning_rate"])
        scaled = [{**row, "learning_rate": factor * row["learning_rate"]} for row in rows]
        log = write_csv(tmp_path / f"{factor}.csv", scaled)
        found = compared(tmp_path / str(factor), log, made)
        assert expected == found.outcome
        assert (factor == 2) == any("is rate 2 of 2" in doubt for doubt in found.doubts)


def test_two_logs_are_compared(tmp_path: Path) -> None:
    """To half a unit of the last digits of both; means over other windows are not compared."""
    one = read_log(state_of(tmp_path / "a", every=2))
    other = read_log(state_of(tmp_path / "b", every=3))
    found = compare_log("log", ("one", "other"), one, other)
    assert "inconclusive" == found.outcome
    assert "grad_norm at 1 step" in found.doubts[0]
    assert " loss at" not in found.doubts[0]
    assert any(doubt.startswith("not compared") and "loss" in doubt for doubt in found.doubts)
    spoiled = draft()
    spoiled.micro_batch(4, 2)["loss"] += 2e-3
    other = read_log(state_of(tmp_path / "c", spoiled, every=2))
    first = compare_log("log", ("one", "other"), one, other).first_divergence
    assert first is not None
    assert (4, "loss") == (first.step, first.stage)


def test_nothing_in_common_is_incomparable(tmp_path: Path) -> None:
    """Other steps, or other quantities."""
    for rows in ([{"step": 100, "loss": 0.5}], [{"step": 2, "entropy": 0.5}]):
        found = compared(tmp_path, write_csv(tmp_path / "log.csv", rows))
        assert "incomparable" == found.outcome
        assert "have no value in common" in found.doubts[0]


def test_what_was_not_recorded_is_not_compared(tmp_path: Path) -> None:
    """A run at detail `steps` has no norm; its loss still differs."""
    made = draft()
    for row in made.rows["steps"]:
        row["grad_norm"] = None
    log = state_of(tmp_path)
    found = compared(tmp_path / "same", log, made)
    assert "grad_norm" not in found.doubts[0]
    assert any("no such value there: train_loss" in d or "grad_norm" in d for d in found.doubts[1:])
    other_loss(made)
    assert "different" == compared(tmp_path / "other", log, made).outcome


def test_a_run_that_failed_is_a_doubt(tmp_path: Path) -> None:
    """What it did before is compared; so is what a probe recorded before its own fault."""
    made = draft(status="failed", error="out of memory", probe_fault="ValueError: x")
    doubts = compared(tmp_path, state_of(tmp_path), made).doubts
    assert "run failed: out of memory" in doubts
    assert any("the harness's probe failed" in doubt for doubt in doubts)


def test_a_damaged_record_is_incomparable(tmp_path: Path) -> None:
    """With the reason."""
    log = read_log(state_of(tmp_path))
    record = draft().write(tmp_path / "new")
    (tmp_path / "new" / "steps.parquet").write_bytes(b"x")
    found = compare_log("tiny", ("log", "run"), log, RunRecord(record.folder))
    assert "incomparable" == found.outcome
    assert "a trace must be unchanged" in found.doubts[0]


def test_folders_and_logs_are_compared_by_one_function(tmp_path: Path) -> None:
    """Each run of an output folder is compared; the report holds the runs and no log."""
    log = state_of(tmp_path)
    spoiled = draft("trainer")
    other_loss(spoiled)
    write_run_folder(tmp_path / "run", {"plain": draft(), "trainer": spoiled})
    report, folder = compare_folders(log, tmp_path / "run", tmp_path / "out", ["harness"])
    assert ["inconclusive", "different"] == [one.outcome for one in report.comparisons]
    assert ("different", 2) == (report.verdict, len(report.runs))
    assert report.comparisons == Report.read(folder).comparisons
    assert (folder / "report.html").is_file()
    with pytest.raises(SpecError, match=r"--noise needs two runs that were traced .*\.json"):
        compare_folders(log, tmp_path / "run", tmp_path / "o", ["harness"], noise=tmp_path / "run")
