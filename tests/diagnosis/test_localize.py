"""Runs that diverge are replayed, and the first differing module is named."""

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
from typing import Any

import psutil
import pytest
from rich.console import Console

from harness.comparison.compare import compare
from harness.comparison.compare_folders import compare_folders
from harness.comparison.modules import compare_modules
from harness.comparison.run import run_cases
from harness.diagnosis.localize import localize_pairs, localize_report
from harness.results.comparison import Comparison
from harness.results.localization import Localization
from harness.results.record import RunRecord
from harness.results.report import Report
from harness.spec.request import RunRequest
from tests.faults.mutations import path_of
from tests.support.small_runs import comparison, small_case, train, write_pairs

pytestmark = pytest.mark.slow

QUIET = Console(quiet=True)
LOOPS = ["plain", "accelerated", "trainer"]

# Step, direction and module of the divergence of each faulty loop; None if no module diverges.
FAULTS: dict[str, tuple[int, str, str] | None] = {
    "output_of_layer_1_scaled": (3, "forward", "bert.encoder.layer.1"),
    "backward_of_layer_0_scaled": (2, "backward", "bert.encoder.layer.0.intermediate.dense"),
    "forgot_train_mode": (1, "forward", "bert.embeddings.dropout"),
    "one_ulp_in_one_weight": None,
    "forgot_zero_grad": None,
    "schedule_off_by_one": None,
    "same_order_every_epoch": None,
}
# Fields of the recipe, the direction and the module of the divergence.
ARMS: dict[str, tuple[dict[str, Any], str, str]] = {
    "eager": ({"attention": "eager"}, "forward", "bert.encoder.layer.0.attention.self"),
    "bf16": ({"precision": "bf16"}, "forward", "bert.encoder.layer.0.attention.self.query"),
    "smoothed": ({"label_smoothing": 0.1}, "backward", ""),
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Localization]:
    """The localization for each faulty loop, each arm, and the plain loop again."""
    folder = tmp_path_factory.mktemp("localize")
    case = small_case(write_pairs(folder / "data")).model_copy(
        update={"arms": {name: fields for name, (fields, _, _) in ARMS.items()}}
    )
    loops = ["plain", *(path_of(name) for name in FAULTS)]
    records = train(case, loops, folder / "records")
    records |= train(case, ["plain"], folder / "records", repeat=2)
    for arm in ARMS:
        records |= train(case, ["plain"], folder / "records", arm=arm)
    return localized_against_plain(records, folder / "localized")


def localized_against_plain(records: dict[str, RunRecord], folder: Path) -> dict[str, Localization]:
    """The localization for each record against that of the plain loop, by label."""
    pairs = [comparison(records, "plain", name) for name in records if name != "plain"]

    def find(pair: Comparison) -> tuple[RunRecord, RunRecord]:
        return records["plain"], records[pair.candidate]

    found = localize_pairs(pairs, find, folder, 2, QUIET)
    return {pair.candidate: pair.localization for pair in found if pair.localization is not None}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_module_of_a_planted_fault_is_named(
    fault: str, answers: dict[str, Localization]
) -> None:
    """If the fault is in no module, no module is named."""
    place = answers[fault].place
    met = None if place is None else (answers[fault].step, place.direction, place.module)
    assert FAULTS[fault] == met


@pytest.mark.parametrize("arm", ARMS)
def test_the_module_that_another_recipe_computes_otherwise_is_named(
    arm: str, answers: dict[str, Localization]
) -> None:
    """A kernel diverges in its module; a loss, before the backward pass begins."""
    place = answers[arm].place
    assert place is not None
    assert (*ARMS[arm][1:], bool(place.module)) == (
        place.direction,
        place.module,
        place.inputs_equal,
    )


def test_the_difference_at_the_place_is_reported(answers: dict[str, Localization]) -> None:
    """The size of the planted fault, and a module's mode."""
    places = {name: answer.place for name, answer in answers.items()}
    scaled, mode = (places[name] for name in ("output_of_layer_1_scaled", "forgot_train_mode"))
    assert scaled is not None
    assert mode is not None
    assert pytest.approx(1e-4, rel=0.3) == scaled.distance
    assert pytest.approx(1.0001, abs=1e-6) == scaled.candidate / scaled.reference
    assert (True, False) == mode.training
    assert scaled.weights_equal
    assert "a change of the weights after it" in answers["one_ulp_in_one_weight"].note


def test_different_weights_of_a_module_are_reported(tmp_path: Path) -> None:
    """Without recorded weights, a changed weight shows in modules once it changes a loss."""
    case = small_case(write_pairs(tmp_path / "data"))
    loops = ["plain", path_of("one_ulp_in_one_weight")]
    records = train(case, loops, tmp_path / "records", detail="steps")
    found = localized_against_plain(records, tmp_path / "localized")["one_ulp_in_one_weight"]
    place = found.place
    assert place is not None
    assert (6, "forward") == (found.step, place.direction)
    assert "bert.embeddings.word_embeddings" == place.module
    assert not place.weights_equal


def test_what_cannot_be_localized_is_not_replayed(answers: dict[str, Localization]) -> None:
    """An identical pair, another order of the rows and another learning rate are not localized;
    gradients left over from before are in no module."""
    assert "not localized: the two are identical" == answers["plain-2"].note
    assert "different rows" in answers["same_order_every_epoch"].note
    assert "learning rate" in answers["schedule_off_by_one"].note
    assert (2, 96) == (
        answers["forgot_zero_grad"].step,
        answers["forgot_zero_grad"].calls,
    )


def test_a_generator_that_stood_elsewhere_is_told(tmp_path: Path) -> None:
    """Where one loop fetches ahead with a collator that draws, dropout draws another mask."""
    case = small_case(write_pairs(tmp_path / "data"), extra_padding=5)
    records = train(case, ["plain", "trainer"], tmp_path / "records")
    place = localized_against_plain(records, tmp_path / "localized")["trainer"].place
    assert place is not None
    assert ("bert.embeddings.dropout", True, False) == (
        place.module,
        place.inputs_equal,
        place.generators_equal,
    )


RECIPES: dict[str, tuple[int, dict[str, Any]]] = {
    "checkpoints": (
        1,
        {
            "gradient_accumulation_steps": 5,
            "per_device_batch_size": 6,
            "gradient_checkpointing": True,
            "eval_every": 2,
        },
    ),
    "bf16": (1, {"precision": "bf16", "attention": "eager"}),
    "processes": (2, {"gradient_accumulation_steps": 2}),
    "shared-out": (2, {"parallel": "fsdp2"}),
}


@pytest.mark.parametrize(("processes", "recipe"), RECIPES.values(), ids=RECIPES)
def test_localizing_changes_no_bit_of_a_run(
    processes: int, recipe: dict[str, Any], tmp_path: Path
) -> None:
    """Of any loop; and the loops, which are identical, have no module that differs."""
    case = small_case(write_pairs(tmp_path / "data"), **recipe)
    case = case.model_copy(update={"world_size": processes})
    loops = ["plain"] if "parallel" in recipe else LOOPS
    plain = train(case, loops, tmp_path / "plain", stop_after=3)
    again = train(case, loops, tmp_path / "localized", stop_after=3, localize_at=3)
    for name, record in plain.items():
        other = again[f"{name}-localized-3"]
        assert "stopped" == other.header.status
        for trace in ("steps", "micro_batches", "tensors", "dissent"):
            assert record.trace(trace).equals(other.trace(trace)), (name, trace)
        answer = compare_modules(again["plain-localized-3"], other, 3)
        assert (None, len(other.trace("modules"))) == (answer.place, answer.calls)


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
def test_what_a_replay_lacks_is_said_in_a_line(gone: str, run_folder: Path, tmp_path: Path) -> None:
    """Data or a loop that is gone: the comparison stands, without an answer on modules."""
    (run_folder / gone).rename(tmp_path / "elsewhere")
    try:
        note = note_of(run_folder, tmp_path / "out")
    finally:
        (tmp_path / "elsewhere").rename(run_folder / gone)
    assert "replayed" in note
    assert gone in note
    assert "\n" not in note


def test_other_versions_are_said_in_a_line(run_folder: Path, tmp_path: Path) -> None:
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
    assert "fault did not repeat itself: its replay diverges at step 2 in " in note


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
