"""What the logs of old runs hold after reading, and which files are refused with one line."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import RecordError
from harness.results.imported.log import evaluation_metric, training_quantity
from harness.results.imported.read import is_log, read_log
from tests.support.logs import trainer_history, write_csv, write_events, write_state
from tests.support.records import draft

CSV = "step,loss,lr,eval_acc\n1,0.7500,5e-05,\n2,0.5,4e-05,\n2,,,0.875\n"


def test_a_trainer_state_is_read(tmp_path: Path) -> None:
    """Times, positions and the mean over the whole training are no values of a step."""
    history = trainer_history(draft().write(tmp_path / "record"), every=3)
    log = read_log(write_state(tmp_path / "trainer_state.json", history))
    assert ["grad_norm", "learning_rate", "loss"] == sorted(log.training)
    assert ((3, 6), ["accuracy", "f1"]) == (log.training["loss"].steps, sorted(log.evaluations))
    assert history[0]["loss"] == log.training["loss"].values[0]
    assert (("train_loss",), 6) == (log.not_used, log.last_step)


def test_a_csv_file_is_read(tmp_path: Path) -> None:
    """A step may have a row for the training and one for an evaluation."""
    path = tmp_path / "losses.csv"
    path.write_text(CSV, encoding="utf-8-sig")
    log = read_log(path)
    assert {"loss", "learning_rate"} == set(log.training)
    assert ((1, 2), (0.75, 0.5)) == (log.training["loss"].steps, log.training["loss"].values)
    assert ((2,), (0.875,)) == (log.evaluations["acc"].steps, log.evaluations["acc"].values)


def test_text_in_an_unknown_column_is_left_out(tmp_path: Path) -> None:
    """In a column of losses it is an error."""
    rows = [{"step": 1, "loss": 0.5, "run": "first"}]
    assert ("run",) == read_log(write_csv(tmp_path / "a.csv", rows)).not_used
    with pytest.raises(RecordError, match="column 'loss', line 2"):
        read_log(write_csv(tmp_path / "b.csv", [{"step": 1, "loss": "first"}]))


def test_a_tensorboard_log_is_read(tmp_path: Path) -> None:
    """From its file, its folder, and the folder above."""
    scalars = [("train/loss", 1, 0.7), ("eval/acc", 2, 0.5), ("train/train_loss", 2, 0.1)]
    folder = write_events(tmp_path / "runs" / "today", scalars)
    (file,) = folder.iterdir()
    for path in (tmp_path, folder, file):
        assert is_log(path)
        log = read_log(path)
        assert (["loss"], ["acc"]) == (list(log.training), list(log.evaluations))
        assert ("single precision", ("train/train_loss",)) == (
            log.training["loss"].precision,
            log.not_used,
        )
    write_events(tmp_path / "runs" / "yesterday", scalars)
    with pytest.raises(RecordError, match=r"holds one run .*today, yesterday"):
        is_log(tmp_path)


@pytest.mark.parametrize(
    ("texts", "precision", "half_units"),
    [
        (["0.6931", "0.7"], "4 decimals", [5e-5, 5e-5]),
        (["0.5"], "1 decimal", [0.05]),
        (["12", "7"], "0 decimals", [0.5, 0.5]),
        (["1.234e-05", "0.1234", "0"], "8 decimals or 4 significant digits", [5e-9, 5e-5, 5e-9]),
        (["0.69314718055994531", "0.5"], "all digits", [0, 0]),
        (["nan", "0.25"], "2 decimals", [0.005, 0.005]),
    ],
)
def test_the_precision_is_that_of_the_column(
    tmp_path: Path, texts: list[str], precision: str, half_units: list[float]
) -> None:
    """A writer drops zeros at the end, so a single value does not show its digits."""
    rows = [{"step": step, "loss": text} for step, text in enumerate(texts, start=1)]
    series = read_log(write_csv(tmp_path / "a.csv", rows)).training["loss"]
    assert series.precision.startswith(precision)
    assert pytest.approx(half_units) == series.half_units


@pytest.mark.parametrize(
    ("name", "quantity", "metric"),
    [
        ("loss", "loss", None),
        ("Loss/train", "loss", None),
        ("train/loss", "loss", None),
        ("train_loss", "loss", None),
        ("train/train_loss", None, None),
        ("train/task_loss", None, None),
        ("lr-AdamW", "learning_rate", None),
        ("train/learning_rate", "learning_rate", None),
        ("eval/loss", None, "loss"),
        ("val_acc", None, "acc"),
        ("Accuracy/val", None, "accuracy"),
        ("eval_", None, None),
        ("entropy", None, None),
    ],
)
def test_the_usual_names_are_known(name: str, quantity: str | None, metric: str | None) -> None:
    """The Trainer's mean over the whole training is no loss of a step."""
    assert (quantity, metric) == (training_quantity(name), evaluation_metric(name))


def state(text: str) -> Callable[[Path], Path]:
    """Writes a `trainer_state.json` with this history."""

    def write(folder: Path) -> Path:
        path = folder / "trainer_state.json"
        path.write_text(f'{{"log_history": {text}}}', encoding="utf-8", errors="surrogatepass")
        return path

    return write


def table(text: str) -> Callable[[Path], Path]:
    """Writes a CSV file."""

    def write(folder: Path) -> Path:
        path = folder / "log.csv"
        path.write_bytes(text.encode("latin-1"))
        return path

    return write


HOSTILE = {
    "no JSON": state("["),
    "deep": state("[" * 100_000),
    "no list": state('{"loss": 1}'),
    "no objects": state("[1, 2]"),
    "nothing logged": state("[]"),
    "only times": state('[{"step": 1, "eval_runtime": 2.5}]'),
    "no step": state('[{"loss": 1.0}]'),
    "a step of text": state('[{"loss": 1.0, "step": "1"}]'),
    "a negative step": state('[{"loss": 1.0, "step": -1}]'),
    "a huge step": state('[{"loss": 1.0, "step": 1e18}]'),
    "an endless step": state(f'[{{"loss": 1.0, "step": {"9" * 5000}}}]'),
    "a step of NaN": state('[{"loss": 1.0, "step": NaN}]'),
    "half a step": state('[{"loss": 1.0, "step": 1.5}]'),
    "a true step": state('[{"loss": 1.0, "step": true}]'),
    "a loss of text": state('[{"loss": "0.5", "step": 1}]'),
    "a list of losses": state('[{"loss": [0.5], "step": 1}]'),
    "no loss": state('[{"loss": null, "step": 1}]'),
    "a loss beyond all numbers": state('[{"loss": 1e999999999, "step": 1}]'),
    "a loss below all numbers": state('[{"loss": 1e-999999999999999999999, "step": 1}]'),
    "two losses": state('[{"loss": 1.0, "step": 1}, {"loss": 2.0, "step": 1}]'),
    "no header": table(""),
    "no column step": table("loss\n1\n"),
    "a column twice": table("step,loss,loss\n1,2,3\n"),
    "too many cells": table("step,loss\n1,2,3\n"),
    "an empty step": table("step,loss\n,0.5\n"),
    "a negative step in a cell": table("step,loss\n-1,0.5\n"),
    "a signalling NaN": table("step,loss\n1,sNaN\n"),
    "a long number": table("step,loss\n1," + "1" * 130_000 + "x\n"),
    "an underscore": table("step,loss\n1,1_0\n"),
    "a formula": table("step,loss\n1,=1+1\n"),
    "losses of one step": table("step,loss\n1,0.5\n1,0.6\n"),
    "no UTF-8": table("step,loss\n1,0.5\xff\n"),
    "an open quote": table('step,loss\n1,"' + "x" * 200_000),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_ends_in_one_line(tmp_path: Path, name: str) -> None:
    """The rule, the value met, the remedy."""
    path = HOSTILE[name](tmp_path)
    with pytest.raises(RecordError) as caught:
        read_log(path)
    message = str(caught.value)
    assert "\n" not in message
    assert "(met " in message
    assert len(message) < 400


@pytest.mark.parametrize("step", [-1, 2**31, 2**62])
def test_a_step_of_an_event_has_limits(tmp_path: Path, step: int) -> None:
    """Others, for control, are read."""
    good = write_events(tmp_path / "good", [("loss", 2**31 - 1, 1.0)])
    assert 2**31 - 1 == read_log(good).last_step
    bad = write_events(tmp_path / "bad", [("loss", step & (2**64 - 1), 1.0)])
    with pytest.raises(RecordError, match="a step is an integer"):
        read_log(bad)


def test_a_value_may_be_written_twice(tmp_path: Path) -> None:
    """If it is the same, NaN too."""
    text = "step,loss\n2,nan\n1,0.5\n2,nan\n1,0.5\n"
    series = read_log(table(text)(tmp_path)).training["loss"]
    assert ((1, 2), 0.5) == (series.steps, series.values[0])
    assert math.isnan(series.values[1])


def test_names_from_a_file_can_be_written(tmp_path: Path) -> None:
    """Half of a surrogate pair is no text."""
    log = read_log(state('[{"eval_\\ud800": 1, "\\ud800": 2, "step": 1}]')(tmp_path))
    for name in (*log.evaluations, *log.not_used):
        assert name.encode()


@pytest.mark.parametrize("name", ["notes.txt", "model.bin"])
def test_another_file_is_no_log(tmp_path: Path, name: str) -> None:
    """One line lists what is one. A folder without a log is none."""
    (tmp_path / name).write_text("x")
    with pytest.raises(RecordError, match=r"trainer_state\.json, a CSV file, or an event file"):
        read_log(tmp_path / name)
    assert not is_log(tmp_path)
    assert not is_log(tmp_path / "nowhere")


def test_a_record_is_no_log(tmp_path: Path) -> None:
    """Even if a log lies in its folder."""
    draft().write(tmp_path / "record")
    write_events(tmp_path / "record", [("loss", 1, 1.0)])
    assert not is_log(tmp_path / "record")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("4", 4), ("4.0", 4), ("0", 0), ("0.5", 0), ("NaN", 0), ('"4"', 0), ("null", 0), ("1e99", 0)],
)
def test_the_interval_of_checkpoints_may_be_anything(
    tmp_path: Path, text: str, expected: int
) -> None:
    """Only a whole number is used; other values are no fault of the log."""
    path = tmp_path / "trainer_state.json"
    history = '[{"loss": 1.0, "step": 1}]'
    path.write_text(f'{{"log_history": {history}, "save_steps": {text}}}', encoding="utf-8")
    assert expected == read_log(path).save_every
