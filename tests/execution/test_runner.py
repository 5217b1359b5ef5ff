"""Workers that crash, are killed, refuse or are interrupted: nothing is lost, nothing is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from harness.comparison.compare import compare
from harness.comparison.run import run_cases
from harness.errors import SpecError
from harness.execution.parent.process import import_ahead
from harness.results.record import RunRecord
from harness.spec.request import RunRequest
from tests.faults.mutations import path_of
from tests.support import command
from tests.support.command import harness
from tests.support.small_runs import small_case, train, write_pairs

pytestmark = pytest.mark.slow


def test_a_crash_leaves_a_record_and_the_others_finish(tmp_path: Path) -> None:
    """A loop that raises, and one that is killed, fail with a reason; the rest goes on; exit 3."""
    data = write_pairs(tmp_path / "data")
    loops = ["plain", path_of("crashes"), path_of("killed"), "plain"]
    result = harness(
        "run", "--loops", ",".join(loops), "--set", f"data={data}", "--set", "max_steps=3",
        "--out", "out", cwd=tmp_path,
    )  # fmt: skip
    assert 3 == result.returncode, result.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert "failed" == report["verdict"]
    statuses = {run["loop"]: (run["status"], run["steps"]) for run in report["runs"]}
    assert ("completed", 3) == statuses["plain"] == statuses["plain-2"]
    assert ("failed", 2) == statuses["crashes"]
    assert "failed" == statuses["killed"][0]
    pairs = {(c["reference"], c["candidate"]): c["outcome"] for c in report["comparisons"]}
    assert "identical" == pairs["plain", "plain-2"]
    assert "identical" not in {pairs["plain", "crashes"], pairs["plain", "killed"]}

    records = tmp_path / "out" / "records"
    crashed = RunRecord(records / "paraphrase-crashes").header
    assert (crashed.error or "").startswith("RuntimeError: out of <b>luck</b> (")
    assert "crashes.py:" in (crashed.error or "")
    assert "crashes.py" in (crashed.traceback or "")
    assert "SIGKILL" in (RunRecord(records / "paraphrase-killed").header.error or "")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "out of &lt;b&gt;luck" in page
    assert "<b>luck" not in page


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sentence1": 5}, "column sentence1 of train must hold text"),
        ({"label": "yes"}, "labels of train must be whole numbers"),
        ({"label": -1}, "labels of train must be whole numbers"),
        ({"label": 3}, "every class number"),
    ],
    ids=["text", "word", "negative", "gap"],
)
def test_data_that_does_not_fit_is_refused(
    change: dict[str, object], words: str, tmp_path: Path
) -> None:
    """Rows with a wrong column or label stop the run with one line, and nothing remains."""
    data = write_pairs(tmp_path / "data", train=4, validation=4, **change)
    with pytest.raises(SpecError, match=words):
        train(small_case(data), ["plain"], tmp_path / "records")


def test_what_a_loop_cannot_do_is_refused_before_any_step(tmp_path: Path) -> None:
    """Accelerate cannot leave a sum undivided: that is wrong use, not a failed run."""
    case = small_case(write_pairs(tmp_path / "data"), loss_average="sum")
    with pytest.raises(SpecError, match="loss_average=sum"):
        train(case, ["accelerated"], tmp_path / "records")
    assert "completed" == train(case, ["plain"], tmp_path / "plain")["plain"].header.status


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"precision": "fp16"}, "precision fp16 needs a GPU"),
        ({"parallel": "fsdp2", "save_every": 2}, "set save_every to none"),
    ],
)
def test_an_unsupported_combination_is_refused_before_any_step(
    settings: dict[str, object], words: str, tmp_path: Path
) -> None:
    """With its remedy, and with no record left of what never began."""
    case = small_case(write_pairs(tmp_path / "data"), **settings)
    with pytest.raises(SpecError, match=words):
        train(case, ["plain"], tmp_path / "records")
    assert not (tmp_path / "records" / "plain" / "record.json").exists()


def test_a_refused_run_leaves_one_line_and_no_folder(tmp_path: Path) -> None:
    """A model without a head for classes, found by a worker: exit 2, one line, no folder."""
    data = write_pairs(tmp_path / "data")
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "vits"}')
    result = harness(
        "run", "--set", f"data={data}", "--set", f"model={model}", "--out", "out", cwd=tmp_path
    )
    assert (2, 1) == (result.returncode, len(result.stderr.splitlines())), result.stderr
    assert "for sequence classification" in result.stderr
    assert not (tmp_path / "out").exists()


def test_mrpc_without_network_says_at_once_what_to_pass(tmp_path: Path) -> None:
    """With no hub and nothing local the answer is one line that names the remedy."""
    result = harness("run", "mrpc", "--loops", "plain,trainer", "--out", "out", cwd=tmp_path)
    assert (2, 1) == (result.returncode, len(result.stderr.splitlines())), result.stderr
    assert "--set data=FOLDER" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_an_interrupt_ends_every_worker_and_keeps_what_there_is(
    number: signal.Signals, tmp_path: Path
) -> None:
    """Ctrl-C in the middle of training: no process is left, partial records say so, exit 3."""
    data = write_pairs(tmp_path / "data", train=400)
    import_ahead()
    before = set(psutil.Process().children(recursive=True))
    printed = [tmp_path / "output", tmp_path / "errors"]
    parent = command.started(
        *("run", "--loops", "plain,trainer", "--set", f"data={data}", "--set", "num_epochs=100"),
        *("--set", "num_workers=1", "--out", "out"),
        cwd=tmp_path,
        printed=printed,
    )
    record = tmp_path / "out" / "records" / "paraphrase-plain"
    wait_for(lambda: (record / "tensors.parquet").exists() or not parent.is_alive())
    own = psutil.Process(parent.pid)
    children = set(psutil.Process().children(recursive=True)) - before - {own}
    own.send_signal(number)
    parent.join(60)
    errors = printed[1].read_text(encoding="utf-8")

    assert 3 == parent.exitcode
    assert "interrupted" in errors.splitlines()[-1]
    assert len(children) >= 2
    assert not psutil.wait_procs(children, timeout=10)[1]
    header = RunRecord(record).header
    assert "interrupted" == header.status
    assert header.steps == len(RunRecord(record).steps) > 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert "failed" == report["verdict"]


def test_workers_end_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    """SIGKILL of the parent gives it no chance to clean up; its workers go by themselves."""
    data = write_pairs(tmp_path / "data", train=400)
    parent = subprocess.Popen(
        [sys.executable, "-m", "harness", "run", "--loops", "plain,plain", "--set",
         f"data={data}", "--set", "num_epochs=100", "--out", "out"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    record = tmp_path / "out" / "records" / "paraphrase-plain"
    wait_for(lambda: record.exists() and len(psutil.Process(parent.pid).children()) == 2)
    children = psutil.Process(parent.pid).children(recursive=True)
    parent.kill()
    parent.wait()
    gone, alive = psutil.wait_procs(children, timeout=60)
    assert 2 <= len(gone)
    assert not alive


def wait_for(condition: object, timeout_s: float = 120) -> None:
    """Until `condition()` holds; an error after so many seconds."""
    deadline = time.monotonic() + timeout_s
    while not condition():  # type: ignore[operator]  # each is a function
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_two_loops_of_one_name_are_refused(tmp_path: Path) -> None:
    """Loops that would share a folder are refused before anything runs."""
    other = tmp_path / "plain.py"
    other.write_text("def train(workload, recipe, probe): ...\n")
    case = small_case(write_pairs(tmp_path / "data"))
    request = RunRequest(cases=(case,), loops=("plain", str(other)), out=tmp_path / "out")
    with pytest.raises(SpecError, match="each loop has its own name"):
        run_cases(request, Console(quiet=True))
    assert not (tmp_path / "out").exists()


def test_a_run_can_be_stopped_after_some_of_its_steps(tmp_path: Path) -> None:
    """Each loop ends where it is told to, and its steps are those of the whole run."""
    case = small_case(write_pairs(tmp_path / "data"))
    loops = ["plain", "accelerated", "trainer"]
    stopped = train(case, loops, tmp_path / "stopped", stop_after=3)
    whole = train(case, ["plain"], tmp_path / "whole")["plain"]
    for record in stopped.values():
        assert ("stopped", 3) == (record.header.status, record.header.steps)
        found = compare(whole, record, ("whole", "stopped"))
        assert found.first_divergence is None
        assert "inconclusive" == found.outcome  # the rest is not known
        assert whole.steps["weights"].to_pylist()[:3] == record.steps["weights"].to_pylist()


def test_a_stopped_run_that_departs_is_different(tmp_path: Path) -> None:
    """The control of the test above: with a fault at its second step a stopped run departs."""
    case = small_case(write_pairs(tmp_path / "data"))
    fault = path_of("forgot_zero_grad")
    records = train(case, ["plain", fault], tmp_path / "records", stop_after=3)
    found = compare(records["plain"], records["forgot_zero_grad"], ("plain", "fault"))
    assert "different" == found.outcome
    assert found.first_divergence is not None
    assert (2, "gradients") == (found.first_divergence.step, found.first_divergence.stage)
