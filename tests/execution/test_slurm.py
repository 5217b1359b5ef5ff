"""Runs as jobs of a cluster: the same records and report as on one machine, whatever befalls a job.

The cluster is made up, `tests.support.fake_slurm`; submitit's own path to SLURM is the real one.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from rich.console import Console

from harness.cli.dry_run import plan_of_run
from harness.comparison.run import run_cases
from harness.errors import SpecError
from harness.execution.entry import LOG
from harness.execution.parent import slurm
from harness.execution.parent.slurm_job import JobFile, hide_cluster
from harness.results.record import HEADER, RunRecord
from harness.spec import registry
from harness.spec.request import RunRequest
from harness.spec.slurm import job_parameters
from tests.support import fake_slurm
from tests.support.commands import environment
from tests.support.run_values import values_in
from tests.support.small_runs import small_case, write_pairs
from tests.support.small_suite import small

pytest.importorskip("submitit", reason="the extra 'slurm' is not installed")

QUIET = Console(quiet=True)


class Cluster:
    """The state of the made-up cluster."""

    def __init__(self, folder: Path) -> None:
        self.variables = fake_slurm.install(folder)
        self.folder = folder / "state"

    def befall(self, **faults: str) -> None:
        """What happens to jobs, by their number: `_3="TIMEOUT"`."""
        named = {number.removeprefix("_"): fault for number, fault in faults.items()}
        (self.folder / "faults.json").write_text(json.dumps(named))

    def states(self) -> list[str]:
        """The states of all jobs, in their order."""
        paths = sorted(self.folder.glob("*.state"), key=lambda path: int(path.stem))
        return [path.read_text() for path in paths]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """A cluster whose commands are on the PATH, asked often."""
    made = Cluster(tmp_path / "cluster")
    for name, value in made.variables.items():
        monkeypatch.setenv(name, value)
    root = str(Path(slurm.__file__).parents[3])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setattr(slurm, "_ASK_S", 0.5)
    monkeypatch.setattr(slurm, "_POLL_S", 0.1)
    monkeypatch.setattr(slurm, "_VISIBLE_S", 0.2)
    return made


def command(folder: Path, out: Path) -> list[str]:
    """The small suite, of which one loop makes two jobs."""
    program = [sys.executable, "-m", "tests.support.small_suite", str(folder / "data")]
    options = ["--executor", "slurm", "--slurm", "time=2:00", "--out", str(out)]
    return [*program, "run", "--suite", "small", "--loops", "plain", *options]


def begin(folder: Path, out: Path, until: Callable[[], bool]) -> subprocess.Popen[str]:
    """The command, once that holds."""
    started = subprocess.Popen(command(folder, out), stderr=subprocess.PIPE, text=True)
    while not until():
        assert started.poll() is None, started.communicate()[1]
        time.sleep(0.02)
    return started


def errors_in(out: Path) -> dict[str, str]:
    """By the name of a record that is not of a completed run: its error."""
    records = [RunRecord(path.parent) for path in sorted(out.glob(f"records/*/{HEADER}"))]
    return {one.folder.name: one.header.error or "" for one in records if one.header.error}


@pytest.mark.slow
def test_jobs_leave_the_records_and_the_report_of_one_machine(
    tmp_path: Path, cluster: Cluster
) -> None:
    """Of the first four jobs, two are pre-empted or take too long: those runs have failed with the
    reason. Two are left behind by a command that is killed. The same command waits for them and
    makes no run twice. In the end every value is that of the same runs on one machine."""
    cases = tuple(small(str(write_pairs(tmp_path / "data"))))
    out, local = tmp_path / "out", tmp_path / "local"
    cluster.befall(_1="TIMEOUT", _2="PREEMPTED")
    ended = subprocess.run(command(tmp_path, out), capture_output=True, text=True, check=False)
    assert 3 == ended.returncode, ended.stderr
    assert {
        "one-plain": "SLURM job 1 reached its time limit",
        "two-plain": "SLURM job 2 was pre-empted",
    } == errors_in(out)

    killed = begin(tmp_path, out, lambda: len(list(out.glob("jobs/*.job"))) == 2)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert 4 == len(cluster.states())

    request: dict[str, Any] = {"cases": cases, "loops": ("plain",), "keep_going": True}
    run_cases(RunRequest(out=local, **request), QUIET)
    again = RunRequest(out=out, executor="slurm", slurm={"time": "120"}, **request)
    run_cases(again, QUIET)
    assert ["TIMEOUT", "PREEMPTED", "COMPLETED", "COMPLETED"] == cluster.states()
    assert values_in(local) == values_in(out)
    script = (cluster.folder / "4.script").read_text()
    for line in ("--time=120", "--no-requeue", "--cpus-per-task=1", "--nodes=1"):
        assert f"#SBATCH {line}\n" in script

    assert "jobs" in {path.name for path in out.iterdir()}
    assert 0o700 == stat.S_IMODE((out / "jobs").stat().st_mode)
    assert [] == list(out.glob("jobs/*.pkl"))
    assert [] == list(out.glob("jobs/*.job"))
    changed = tmp_path / "out" / "records" / "two-plain" / HEADER
    changed.write_text(changed.read_text().replace('"steps": 3', '"steps": 4', 1))
    assert values_in(local) != values_in(out)


@pytest.mark.slow
def test_ctrl_c_cancels_the_jobs(tmp_path: Path, cluster: Cluster) -> None:
    """One line, exit code 3, no job and no process left."""
    write_pairs(tmp_path / "data")
    out = tmp_path / "out"
    before = {each.pid for each in psutil.process_iter()}
    started = begin(tmp_path, out, lambda: cluster.states() == ["RUNNING", "RUNNING"])
    started.send_signal(signal.SIGINT)
    _, errors = started.communicate(timeout=120)
    assert 3 == started.returncode
    assert errors.splitlines()[-1].startswith("harness: interrupted; completed records are kept")
    assert ["CANCELLED", "CANCELLED"] == cluster.states()
    assert [] == list(out.glob("jobs/*.job"))
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and mine(before, tmp_path):
        time.sleep(0.1)
    assert [] == mine(before, tmp_path)


@pytest.mark.slow
def test_a_job_that_is_told_of_its_end_says_why(tmp_path: Path) -> None:
    """SLURM signals every process of the job that kept its process group."""
    case = small_case(write_pairs(tmp_path / "data"), num_epochs=4000)
    folder = tmp_path / "record"
    spec = registry.run_spec(case, "plain")
    file = tmp_path / "job.json"
    content = JobFile(spec=spec, folder=folder, python=None, timeout_s=600)
    file.write_text(content.model_dump_json())
    started = subprocess.Popen(
        [sys.executable, "-m", "harness.execution.parent.slurm_job", str(file)],
        env={**environment(), "SLURM_JOB_ID": "7"},
        start_new_session=True,
    )
    while not (folder / LOG).exists():
        time.sleep(0.05)
    os.killpg(started.pid, signal.SIGUSR2)
    assert 0 == started.wait(timeout=120)
    header = RunRecord(folder).header
    assert ("failed", "SLURM job 7 reached its time limit") == (header.status, header.error)


def mine(before: set[int], folder: Path) -> list[str]:
    """Commands of new processes that work below `folder`."""
    found = []
    for each in psutil.process_iter():
        try:
            words = " ".join(each.cmdline())
        except psutil.Error:
            continue
        if each.pid not in before and str(folder) in words:
            found.append(words)
    return found


def request(tmp_path: Path, **more: str) -> RunRequest:
    """One case by one loop."""
    case = small_case(write_pairs(tmp_path / "data"), max_steps=2)
    out = tmp_path / "out"
    return RunRequest(cases=(case,), loops=("plain",), executor="slurm", slurm=more, out=out)


def test_a_job_that_slurm_refuses_is_one_line(tmp_path: Path, cluster: Cluster) -> None:
    """Nothing has been submitted, so nothing is left."""
    cluster.befall(_1="REFUSED")
    with pytest.raises(SpecError, match=r"SLURM takes each job .*invalid partition .*--slurm"):
        run_cases(request(tmp_path, partition="nowhere"), QUIET)
    assert not (tmp_path / "out").exists()


def test_a_dry_run_submits_nothing(tmp_path: Path, cluster: Cluster) -> None:
    """How long the runs take on this machine says nothing about the cluster."""
    plan = plan_of_run(request(tmp_path))
    assert (1, None) == (len(plan.runs), plan.about_s)
    assert "depends on the queue of the cluster" in plan.duration
    assert [] == cluster.states()


def test_a_run_does_not_see_the_cluster() -> None:
    """A library would adapt to it."""
    variables = {"SLURM_NTASKS": "1", "SUBMITIT_EXECUTOR": "slurm", "CUDA_VISIBLE_DEVICES": "3"}
    hide_cluster(variables)
    assert {"CUDA_VISIBLE_DEVICES": "3"} == variables


def test_what_is_missing_is_named_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SLURM's commands, and the extra; nothing is written."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SpecError, match=r"not on the PATH: sbatch, .*login node"):
        run_cases(request(tmp_path), QUIET)
    monkeypatch.setattr(slurm, "find_spec", lambda _name: None)
    with pytest.raises(SpecError, match=r"needs the extra 'slurm' \(met missing: submitit\): pip"):
        run_cases(request(tmp_path), QUIET)
    assert not (tmp_path / "out").exists()


def test_a_folder_of_jobs_that_others_write_is_refused(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job would unpickle what lies there."""
    (tmp_path / "strange").mkdir()
    (tmp_path / "out").mkdir(mode=0o777)
    (tmp_path / "out" / "jobs").symlink_to(tmp_path / "strange")
    mode = (tmp_path / "strange").stat().st_mode

    def submit_nothing() -> None:
        slurm.run_on_slurm([], {}, tmp_path / "out", None, lambda _number, _event: None, 9.0)

    with pytest.raises(SpecError, match=r"of the user's own \(met the link "):
        submit_nothing()
    assert mode == (tmp_path / "strange").stat().st_mode
    (tmp_path / "out" / "jobs").unlink()
    with monkeypatch.context() as patched:
        patched.setattr("os.getuid", lambda: os.geteuid() + 1)
        with pytest.raises(SpecError, match=r"\(met .*out of user "):
            submit_nothing()
    submit_nothing()
    assert 0o700 == stat.S_IMODE((tmp_path / "out" / "jobs").stat().st_mode)
    assert 0 == stat.S_IMODE((tmp_path / "out").stat().st_mode) & 0o022
    assert [] == cluster.states()


@pytest.mark.parametrize(
    ("text", "minutes"), [("90", 90), ("2:30", 150), ("0:00:01", 1), ("1-02:00:00", 1560)]
)
def test_a_time_limit_is_in_minutes_or_as_slurm_writes_it(text: str, minutes: int) -> None:
    assert {"time": minutes} == job_parameters({"time": text}, "--slurm")
