"""`export`: CSV and Parquet that pandas reads, event files, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from harness.errors import RecordError, SpecError
from harness.report.export import export
from harness.results.curves import stacked
from harness.results.imported.event_file import read_scalars
from harness.results.imported.read import read_log
from harness.results.record import RunRecord
from tests.support.records import draft, write_run_folder
from tests.support.run_folders import HOSTILE, part

RUN_COLUMNS = ["run", "case", "loop", "seed", "device", "processes", "status", "date", "commit"]


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """An output folder of two runs that differ from step 3 on."""
    other = draft("trainer")
    part(other, 3)
    write_run_folder(tmp_path / "run", {"plain": draft(), "trainer": other})
    return tmp_path / "run"


def test_pandas_reads_every_value_of_a_csv_file(run_dir: Path) -> None:
    """Each number with all its digits; a cell that was not recorded is empty."""
    path = export(run_dir, "csv")
    frame = pd.read_csv(path)
    assert run_dir / "curves.csv" == path
    assert RUN_COLUMNS == list(frame.columns[: len(RUN_COLUMNS)])
    assert {"run/plain": 6, "run/trainer": 6} == frame.groupby("run").size().to_dict()
    labels = ("plain", "trainer")
    records = [(f"run/{name}", RunRecord(run_dir / "records" / name)) for name in labels]
    for name in ("step", "loss", "learning_rate", "grad_norm", "eval_accuracy"):
        expected = pd.Series(stacked(records)[name].to_pylist(), name=name)
        pd.testing.assert_series_equal(expected, frame[name], check_exact=True)


def test_pandas_reads_a_parquet_file(run_dir: Path) -> None:
    """The same rows and columns as in the CSV file."""
    found = pd.read_parquet(export(run_dir, "parquet"))
    text = pd.read_csv(export(run_dir, "csv"))
    assert list(text.columns) == list(found.columns)
    for name in ("run", "step", "loss", "grad_norm", "eval_f1"):
        assert text[name].dropna().tolist() == found[name].dropna().tolist()


def test_files_of_many_runs_can_be_stacked(run_dir: Path, tmp_path: Path) -> None:
    """A record by itself has the same identifier as in its folder, and another folder another."""
    write_run_folder(tmp_path / "later", {"plain": draft()})
    whole = pd.read_csv(export(run_dir, "csv"))
    single = pd.read_csv(export(run_dir / "records" / "plain", "csv"))
    later = pd.read_csv(export(tmp_path / "later", "csv"))
    assert {"run/plain"} == set(single["run"]) <= set(whole["run"])
    both = pd.concat([whole, later])
    assert 18 == len(both.drop_duplicates(["run", "step"])) == len(both)


def test_an_event_file_holds_the_curves_of_a_run(run_dir: Path) -> None:
    """One folder for each; our own log of it agrees with the record."""
    folder = export(run_dir, "tensorboard")
    assert ["plain", "trainer"] == sorted(path.name for path in folder.iterdir())
    (file,) = (folder / "plain").iterdir()
    found = {(one.tag, one.step): one.value for one in read_scalars(file)}
    record = draft()
    assert (
        record.micro_batch(1, 1)["loss"] + record.micro_batch(1, 2)["loss"]
        == (found["train/loss", 1])
    )
    assert 0.875 == found["eval/accuracy", 6]
    assert {"loss", "learning_rate", "grad_norm"} == set(read_log(folder / "plain").training)
    export(run_dir, "tensorboard")
    assert 1 == len(list((folder / "plain").iterdir()))


@pytest.mark.parametrize("to", ["csv", "parquet", "tensorboard"])
def test_the_place_can_be_chosen(run_dir: Path, tmp_path: Path, to: str) -> None:
    """Also in a folder that does not exist yet; nothing else is written."""
    target = tmp_path / "new" / "place"
    assert target == export(run_dir, to, target)
    assert ["place"] == [path.name for path in target.parent.iterdir()]


def test_text_of_a_record_is_no_formula(tmp_path: Path) -> None:
    """A spreadsheet does not calculate it, and no character of it controls a terminal."""
    texts = {"formula": "=1+1", "hostile": HOSTILE}
    made = {name: draft(environment={"commit": text}) for name, text in texts.items()}
    write_run_folder(tmp_path / "run", made)
    path = export(tmp_path / "run", "csv")
    commits = set(pd.read_csv(path)["commit"])
    assert ("'=1+1" in commits, 2) == (True, len(commits))
    assert "\x00" not in path.read_text(encoding="utf-8")


def test_wrong_use_is_refused(run_dir: Path, tmp_path: Path) -> None:
    """An unknown format, no record, a damaged one, a folder where a file should be."""
    with pytest.raises(SpecError, match=r"unknown format .*csv, parquet, tensorboard"):
        export(run_dir, "xlsx")
    with pytest.raises(SpecError, match="must exist"):
        export(tmp_path / "nowhere", "csv")
    with pytest.raises(SpecError, match="takes a file that can be written"):
        export(run_dir, "csv", tmp_path)
    with pytest.raises(SpecError, match="reads a folder"):
        export(run_dir, "tensorboard", run_dir / "report.json")
    (run_dir / "records" / "plain" / "steps.parquet").write_bytes(b"x")
    with pytest.raises(RecordError, match="a trace must be unchanged"):
        export(run_dir, "csv", tmp_path / "curves.csv")
    assert not (tmp_path / "curves.csv").exists()
