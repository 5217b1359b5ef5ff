"""Runs as jobs of a SLURM cluster, submitted through submitit: the same records as on one machine.

A job is a command line, `slurm_job`, which makes one run in its folder. Its outcome is read from
the record and from SLURM's state of the job. Submitit also pickles the outcome of its call; that
file is never read here. The folder of the jobs can be written by its owner alone, because a job
unpickles its command line from there.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness.errors import RecordError, RunFailed, SpecError
from harness.execution.entry import LOG
from harness.execution.parent.failures import fail
from harness.execution.parent.process import Run
from harness.execution.parent.runner import OnEvent
from harness.execution.parent.slurm_job import JobFile
from harness.results.record import HEADER, RunRecord, write_atomically
from harness.spec.case import RunSpec

__all__ = ["JOBS", "check_slurm", "run_on_slurm"]

JOBS = "jobs"
"""The folder of the jobs within an output folder."""
_COMMANDS = ("sbatch", "srun", "sacct", "scancel")
_POLL_S = 1.0
_ASK_S = 30.0  # how often SLURM is asked about all jobs; a job that completes is seen at once
_VISIBLE_S = 15.0  # time until a file of another machine is visible on a shared file system
_CANCEL_S = 60.0  # SLURM kills a cancelled job after 30 s by default
_WARNED_S = 30  # how long before its time limit a job is told of it
_TAIL = 20  # lines of a job's output that are kept
_ACTIVE = ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED")
_ENDS = {
    "TIMEOUT": "reached its time limit",
    "DEADLINE": "reached its deadline",
    "PREEMPTED": "was pre-empted",
    "CANCELLED": "was cancelled",
    "OUT_OF_MEMORY": "had too little memory",
    "NODE_FAIL": "lost its node",
    "BOOT_FAIL": "lost its node",
}
"""SLURM's states of a job that did not end by itself, in words."""


@dataclass
class _Active:
    """A run whose job is in the queue or runs."""

    number: int
    run: Run
    job: Any
    """submitit's job."""
    begun: bool = False


def check_slurm(option: str) -> None:
    """Raise `SpecError` if jobs cannot be submitted here. `option`: the user's, for messages."""
    if find_spec("submitit") is None:
        raise SpecError(
            f"{option} needs the extra 'slurm'",
            "missing: submitit",
            "pip install 'trainloop-harness[slurm]'",
        )
    missing = [name for name in _COMMANDS if shutil.which(name) is None]
    if missing:
        rule = f"{option} needs the commands of SLURM"
        remedy = "start the command on a login node of the cluster"
        raise SpecError(rule, f"not on the PATH: {', '.join(missing)}", remedy)


def run_on_slurm(
    runs: Sequence[Run],
    parameters: Mapping[str, Any],
    out: Path,
    jobs: int | None,
    on_event: OnEvent,
    timeout_s: float,
) -> list[RunRecord]:
    """Make the runs as jobs, at most `jobs` in the queue at a time; None: all at once.

    `parameters`: of `job_parameters`. `out`: the output folder, which the cluster shares. A job
    that a stopped command left in the queue is waited for. A job that fails, is pre-empted or
    takes too long leaves a record of that. On KeyboardInterrupt all jobs are cancelled. Raises
    `SpecError` if SLURM takes no job, and `RunFailed` if it takes no more.
    """
    folder = _private_folder(out)
    waiting = list(enumerate(runs))
    active: list[_Active] = []
    asked_at = time.monotonic()
    try:
        while waiting or active:
            while waiting and len(active) < (jobs or len(runs)):
                active.append(_begin(*waiting[0], parameters, folder, timeout_s))
                waiting.pop(0)
            time.sleep(_POLL_S)
            ask = time.monotonic() >= asked_at + _ASK_S
            for each in list(active):
                if not each.begun and (each.run.folder / LOG).exists():
                    each.begun = True
                    on_event(each.number, {"event": "building"})
                if not _is_over(each.job, ask):
                    on_event(each.number, {"event": "training" if each.begun else "in the queue"})
                    continue
                active.remove(each)
                on_event(each.number, {"event": _conclude(each, folder)})
                on_event(each.number, {"event": "ended"})
            asked_at = time.monotonic() if ask else asked_at
    except _Refused as error:
        remedy = "correct --slurm KEY=VALUE"
        if not active and len(waiting) == len(runs):
            raise SpecError("SLURM takes each job", error, remedy) from None
        raise RunFailed("SLURM takes each job", error, remedy) from None
    finally:
        _cancel(active)
        for path in (*folder.glob("*.pkl"), *folder.glob("*.job")):  # no job is left
            path.unlink(missing_ok=True)
    return [RunRecord(run.folder) for run in runs]


class _Refused(Exception):
    """SLURM takes no job; the first line of its answer."""


def _private_folder(out: Path) -> Path:
    """The folder for jobs: only its owner, who is the user, can write it, as the output folder.

    Raises `SpecError` if that cannot be.
    """
    folder = out.absolute() / JOBS
    rule, remedy = "--executor slurm takes an output folder of the user's own", "name another"
    if folder.is_symlink():
        raise SpecError(rule, f"the link {folder}", remedy)
    try:
        folder.mkdir(exist_ok=True)
        out.chmod(out.stat().st_mode & ~0o022)
        folder.chmod(0o700)
    except (PermissionError, FileExistsError) as error:
        raise SpecError(rule, error, remedy) from None
    for path in (out, folder):
        if path.stat().st_uid != os.getuid():
            raise SpecError(rule, f"{path} of user {path.stat().st_uid}", remedy)
    return folder


def _begin(
    number: int, run: Run, parameters: Mapping[str, Any], folder: Path, timeout_s: float
) -> _Active:
    """The job of a run: the one that an earlier command submitted, or a new one."""
    content = JobFile(
        spec=run.spec, folder=run.folder.absolute(), python=run.python, timeout_s=timeout_s
    ).model_dump_json(indent=1)
    file, ticket = folder / f"{run.folder.name}.json", _ticket(folder, run)
    if ticket.is_file():
        earlier = _job(folder, ticket.read_text(encoding="utf-8").strip())
        same = file.is_file() and file.read_text(encoding="utf-8") == content
        if same and earlier.watcher.get_state(earlier.job_id, mode="force") in _ACTIVE:
            return _Active(number, run, earlier, begun=(run.folder / LOG).exists())
        _scancel(earlier)
        ticket.unlink()
    with write_atomically(file) as path:
        path.write_text(content, encoding="utf-8")
    (run.folder / LOG).unlink(missing_ok=True)
    (run.folder / HEADER).unlink(missing_ok=True)
    job = _submit(file, {**_defaults(run.spec, parameters), **parameters}, folder)
    with write_atomically(ticket) as path:
        path.write_text(f"{job.job_id}\n", encoding="utf-8")
    return _Active(number, run, job)


def _defaults(spec: RunSpec, given: Mapping[str, Any]) -> dict[str, Any]:
    """The processors and GPUs that a run uses."""
    processes = spec.case.world_size
    found = {
        "cpus_per_task": processes * (spec.recipe.num_threads + spec.recipe.num_workers),
        "job_name": f"harness-{spec.case.name}-{spec.run_label}",
    }
    if spec.case.device == "cuda" and "gres" not in given:
        found["gpus_per_node"] = processes
    return found


def _submit(file: Path, parameters: Mapping[str, Any], folder: Path) -> Any:
    import submitit
    from submitit.helpers import CommandFunction

    executor = submitit.SlurmExecutor(folder=folder)
    executor.update_parameters(
        **parameters,
        nodes=1,
        stderr_to_stdout=True,
        signal_delay_s=_WARNED_S,
        additional_parameters={"no-requeue": True},  # a pre-empted run has failed
    )
    command = [sys.executable, "-P", "-m", "harness.execution.parent.slurm_job", str(file)]
    try:
        return executor.submit(CommandFunction(command, verbose=False, cwd=os.getcwd()))
    except RuntimeError as error:  # also of submitit's own classes
        lines = [line for line in str(error).splitlines() if "sbatch" in line.lower()]
        raise _Refused(lines[-1] if lines else str(error)) from None


def _ticket(folder: Path, run: Run) -> Path:
    """The file with the number of a run's job."""
    return folder / f"{run.folder.name}.job"


def _job(folder: Path, number: str) -> Any:
    import submitit

    return submitit.SlurmJob(folder=folder, job_id=number)


def _is_over(job: Any, ask: bool) -> bool:
    return bool(job.done(force_check=ask)) or _state(job) == "PREEMPTED"


def _state(job: Any, mode: str = "cache") -> str:
    """SLURM's state of the job in one word; 'CANCELLED by 1000' has more."""
    return str(job.watcher.get_state(job.job_id, mode=mode)).partition(" ")[0]


def _conclude(each: _Active, folder: Path) -> str:
    """Leave the record of a run whose job has ended, also if the job left none; its status."""
    status, deadline = _status(each.run), time.monotonic() + _VISIBLE_S
    state = _state(each.job, mode="force")
    while status is None and state not in _ENDS and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        status = _status(each.run)
    name = f"SLURM job {each.job.job_id}"
    if status not in ("completed", "stopped"):
        if state in _ENDS:
            fail(each.run, f"{name} {_ENDS[state]}", _tail(each.job))
        elif status in (None, "interrupted"):
            fail(each.run, f"{name} ended as {state} without a complete record", _tail(each.job))
    _ticket(folder, each.run).unlink(missing_ok=True)
    return _status(each.run) or "failed"


def _status(run: Run) -> str | None:
    try:
        return RunRecord(run.folder).header.status
    except RecordError:
        return None


def _tail(job: Any) -> str:
    with suppress(OSError, UnicodeDecodeError):
        return "\n".join((job.stdout() or "").splitlines()[-_TAIL:])
    return ""


def _cancel(active: Sequence[_Active]) -> None:
    """Cancel jobs and wait until none of them writes any more. Complete records stay."""
    for each in active:
        _scancel(each.job)
    deadline = time.monotonic() + _CANCEL_S
    for each in active:
        while time.monotonic() < deadline and _state(each.job, mode="force") in _ACTIVE:
            time.sleep(_POLL_S)


def _scancel(job: Any) -> None:
    with suppress(OSError):
        job.cancel(check=False)
