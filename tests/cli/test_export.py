"""`harness export` and `harness compare` with a log, from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.answers import Ask
from tests.support.logs import trainer_history, write_state
from tests.support.records import draft, write_run_folder


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """An output folder of one run."""
    write_run_folder(tmp_path / "run", {"plain": draft()})
    return tmp_path / "run"


def test_the_place_of_the_file_is_printed(ask: Ask, run_dir: Path) -> None:
    """And nothing else."""
    found = ask("export", run_dir, "--to", "csv")
    assert (0, f"Exported: {run_dir / 'curves.csv'}\n", "") == (found.code, found.out, found.err)
    assert (run_dir / "curves.csv").is_file()


def test_wrong_use_is_one_line(refused: Ask, run_dir: Path) -> None:
    """An unknown format, and a path without a record."""
    assert "known: csv, parquet, tensorboard" in refused("export", run_dir, "--to", "xls").err
    assert "must exist" in refused("export", "nowhere").err


def test_a_log_is_compared(ask: Ask, run_dir: Path, tmp_path: Path) -> None:
    """No verdict if nothing differs, exit code 1 if a value does."""
    history = trainer_history(draft().write(tmp_path / "old"))
    log = write_state(tmp_path / "old" / "trainer_state.json", history)
    found = ask("compare", log, run_dir, "--out", "same")
    assert (4, "") == (found.code, found.err)
    assert "no logged value of trainer_state.json differs" in " ".join(found.out.split())
    history[0]["learning_rate"] *= 2
    other = write_state(tmp_path / "other.json", history)
    found = ask("compare", other, run_dir, "--out", "other")
    assert 1 == found.code
    assert "different, first at step 2 in learning_rate" in " ".join(found.out.split())


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("log.csv", "loss\n1\n", "a CSV log has a column step"),
        ("log.json", "{}", "has a list log_history"),
        ("events.out.tfevents.1", "no event", "must be complete"),
        ("log.txt", "loss 0.5", "a log is a trainer_state.json, a CSV file"),
    ],
)
def test_a_file_that_is_no_log_is_one_line(
    refused: Ask, run_dir: Path, tmp_path: Path, name: str, text: str, words: str
) -> None:
    """Nothing is written, not even an output folder."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert words in refused("compare", tmp_path / name, run_dir, "--out", "out").err
    assert words in refused("compare", run_dir, tmp_path / name, "--out", "out").err
