"""Replays of a localization: reports, missing files, other versions, interrupts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from harness.comparison.compare import compare
from harness.comparison.compare_folders import compare_folders
from harness.comparison.run import run_cases
from harness.diagnosis.localize import localize_pairs, localize_report
from harness.results.report import Report
from harness.spec.request import RunRequest
from tests.faults.mutations import path_of
from tests.support.small_runs import small_case, train, write_pairs

pytestmark = pytest.mark.slow

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a run with a fault, localized, whose data lie beside it."""
    folder = tmp_path_factory.mktemp("run")
    case = small_case(write_pairs(folder / "data"))
    fault = folder / "fault.py"
    shutil.copy(path_of("output_of_layer_1_scaled"), fault)
    request = RunRequest(cases=(case,), loops=("plain", str(fault)), jobs=2, out=folder / "out")
    report, out = run_cases(request, QUIET)
    localize_report(report, out, 2, QUIET)
    return folder


def place(report: Report) -> tuple[int | None, str]:
    """The step and module of the only pair's divergence."""
    answer = report.comparisons[0].localization
    assert answer is not None
    assert answer.place is not None, answer.note
    return answer.step, answer.place.module


def test_a_run_localizes_and_its_report_shows_it(run_folder: Path) -> None:
    """On the page, in `report.json`, and with the replays among the records."""
    out = run_folder / "out"
    assert (3, "bert.encoder.layer.1") == place(Report.read(out))
    page = (out / "report.md").read_text(encoding="utf-8")
    assert "forward pass: the first difference is in bert.encoder.layer.1 (BertLayer)" in page
    names = {path.name for path in (out / "records").iterdir()}
    assert {"paraphrase-plain-localized-3", "paraphrase-fault-localized-3"} < names
    assert 2 == len(Report.read(out).runs)


def test_two_records_are_localized(run_folder: Path, tmp_path: Path) -> None:
    """Compared afterwards, they are replayed from what stands in them."""
    records = run_folder / "out" / "records"
    report, _ = compare_folders(
        records / "paraphrase-plain",
        records / "paraphrase-fault",
        tmp_path / "out",
        ["harness"],
    )
    report = localize_report(report, tmp_path / "out", None, QUIET)
    assert (3, "bert.encoder.layer.1") == place(report)


def note_of(run_folder: Path, out: Path) -> str:
    """Why the pair was not localized."""
    records = run_folder / "out" / "records"
    report, _ = compare_folders(
        records / "paraphrase-plain", records / "paraphrase-fault", out, ["harness"]
    )
    report = localize_report(report, out, None, QUIET)
    answer = report.comparisons[0].localization
    assert answer is not None
    assert answer.place is None
    assert "different" == report.verdict
    return answer.note


@pytest.mark.parametrize("gone", ["data", "fault.py"])
def test_a_missing_input_of_a_replay_is_reported_in_one_line(
    gone: str, run_folder: Path, tmp_path: Path
) -> None:
    """Data or a loop that is gone: the comparison stands, without an answer on modules."""
    (run_folder / gone).rename(tmp_path / "elsewhere")
    try:
        note = note_of(run_folder, tmp_path / "out")
    finally:
        (tmp_path / "elsewhere").rename(run_folder / gone)
    assert "replayed" in note
    assert gone in note
    assert "\n" not in note


def test_other_versions_are_reported_in_one_line(run_folder: Path, tmp_path: Path) -> None:
    """With what was recorded and what is installed."""
    copy = tmp_path / "run"
    shutil.copytree(run_folder / "out", copy / "out")
    path = copy / "out" / "records" / "paraphrase-plain" / "record.json"
    header = json.loads(path.read_text(encoding="utf-8"))
    header["environment"]["versions"]["torch"] = "1.0"
    path.write_text(json.dumps(header), encoding="utf-8")
    assert "plain cannot be replayed: it was recorded with torch 1.0 (" in note_of(
        copy, tmp_path / "compared"
    )


def test_a_replay_that_diverges_from_its_run_gives_no_module(
    run_folder: Path, tmp_path: Path
) -> None:
    """Such as of a loop that was edited since."""
    fault = run_folder / "fault.py"
    text = fault.read_text(encoding="utf-8")
    fault.write_text(text.replace("step == 2", "step == 1"), encoding="utf-8")
    try:
        note = note_of(run_folder, tmp_path / "out")
    finally:
        fault.write_text(text, encoding="utf-8")
    assert "the replay of fault is another training than its run: it diverges at step 2 in " in note


def test_another_number_of_processes_is_not_localized(tmp_path: Path) -> None:
    """Their micro-batches are others."""
    case = small_case(write_pairs(tmp_path / "data"), max_steps=2)
    one = train(case, ["plain"], tmp_path / "one")["plain"]
    case = case.model_copy(update={"world_size": 2})
    two = train(case, ["plain"], tmp_path / "two")["plain"]
    pair = compare(one, two, ("one", "two"))
    first = pair.first_divergence
    assert first is not None
    pair = pair.model_copy(
        update={
            "first_divergence": first.model_copy(update={"stage": "loss", "step": 1}),
            "stages": (),
        }
    )
    (found,) = localize_pairs([pair], lambda _pair: (one, two), tmp_path / "localized", 2, QUIET)
    assert found.localization is not None
    assert "1 and 2 processes" in found.localization.note


def test_an_interrupted_localization_leaves_the_report(tmp_path: Path) -> None:
    """Ctrl-C during the replays: the earlier report stands, and no process is left."""
    data = write_pairs(tmp_path / "data", train=200)
    fault = Path(path_of("output_of_layer_1_scaled"))
    slow = tmp_path / "slow.py"
    text = fault.read_text(encoding="utf-8").replace("step == 2", "step == 20")
    slow.write_text(text, encoding="utf-8")
    out = tmp_path / "out"
    command = ["run", "--loops", f"plain,{slow}", "--set", f"data={data}", "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", *command, "--set", "num_epochs=2", "--localize"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "COLUMNS": "200"},
    )
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and not list(out.glob("records/*-localized-*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert 3 == process.returncode, errors
    assert "interrupted" in errors
    report = Report.read(out)
    assert ("different", None) == (
        report.comparisons[0].outcome,
        report.comparisons[0].localization,
    )
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and _group(process.pid):
        time.sleep(0.1)
    assert [] == _group(process.pid)


def _group(number: int) -> list[int]:
    """Processes of that group."""
    found = []
    for pid in psutil.pids():
        with suppress(ProcessLookupError):
            if os.getpgid(pid) == number:
                found.append(pid)
    return found
