"""A cluster of one machine: `sbatch`, `srun`, `sacct` and `scancel` that do what those of SLURM do.

A job is the script that it was given, run in the background. `FAKE_SLURM` is the folder with the
state of each job. The file `faults.json` there says what befalls jobs, by their number: `TIMEOUT`,
`PREEMPTED` or another state, as soon as the job runs; `REFUSED`: sbatch does not take it.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["install"]

_FINAL = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "PREEMPTED")


def install(folder: Path) -> dict[str, str]:
    """Put the commands into a new `folder`; return the variables with which they are found."""
    commands = folder / "bin"
    commands.mkdir(parents=True)
    for name in ("sbatch", "srun", "sacct", "scancel"):
        path = commands / name
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "{__file__}" {name} "$@"\n')
        path.chmod(0o755)
    state = folder / "state"
    state.mkdir()
    return {"PATH": f"{commands}{os.pathsep}{os.environ['PATH']}", "FAKE_SLURM": str(state)}


def _state(number: str, new: str | None = None) -> str:
    path = Path(os.environ["FAKE_SLURM"]) / f"{number}.state"
    if new is not None:
        path.with_suffix(".new").write_text(new)
        path.with_suffix(".new").replace(path)
    return path.read_text() if path.exists() else ""


def sbatch(script: str) -> int:
    """Take a job, and run it in the background."""
    folder = Path(os.environ["FAKE_SLURM"])
    number = str(1 + len(list(folder.glob("*.state"))))
    faults = folder / "faults.json"
    fault = json.loads(faults.read_text()).get(number, "") if faults.exists() else ""
    if fault == "REFUSED":
        sys.stderr.write("sbatch: error: invalid partition specified: nowhere\n")
        return 1
    _state(number, "PENDING")
    (folder / f"{number}.script").write_text(Path(script).read_text())
    log = (folder / f"{number}.log").open("w")
    words = [sys.executable, "-S", __file__, "run-job", number, fault]
    subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
    )
    sys.stdout.write(f"Submitted batch job {number}\n")
    return 0


def run_job(number: str, fault: str) -> int:
    """The node: runs the script of a job in a process group of its own."""
    folder = Path(os.environ["FAKE_SLURM"])
    if _state(number) == "CANCELLED":
        return 0
    _state(number, "RUNNING")
    variables = {**os.environ, "SLURM_JOB_ID": number}
    command = ["bash", str(folder / f"{number}.script")]
    job = subprocess.Popen(command, env=variables, start_new_session=True)
    (folder / f"{number}.pid").write_text(str(job.pid))
    if fault:
        time.sleep(0.3)
        _state(number, fault)
        os.killpg(job.pid, signal.SIGKILL)
    code = job.wait()
    if _state(number) not in _FINAL:
        _state(number, "FAILED" if code else "COMPLETED")
    return 0


def srun(*words: str) -> int:
    """Run a command with its output where `--output` says."""
    options = list(words)
    place = ""
    while options and options[0].startswith("--"):
        name, _, value = options.pop(0).partition("=")
        if name in ("--output", "--error"):
            place = value or options.pop(0)
    path = place.replace("%j", os.environ["SLURM_JOB_ID"]).replace("%t", "0")
    with Path(path).open("a") as output:
        return subprocess.call(options, stdout=output, stderr=output)


def sacct(*words: str) -> int:
    """The states of jobs, as submitit asks for them."""
    sys.stdout.write("JobID|State|NodeList\n")
    for option, number in itertools.pairwise(words):
        if option == "-j" and (state := _state(number)):
            sys.stdout.write(f"{number}|{state}{' by 0' if state == 'CANCELLED' else ''}|here\n")
    return 0


def scancel(number: str) -> int:
    """End a job: SIGTERM to its processes, then SIGKILL."""
    if _state(number) in _FINAL:
        return 0
    _state(number, "CANCELLED")
    pid = Path(os.environ["FAKE_SLURM"]) / f"{number}.pid"
    if pid.exists():
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(int(pid.read_text()), sign)
            except ProcessLookupError:
                break
            time.sleep(1)
    return 0


if __name__ == "__main__":
    commands: dict[str, Callable[..., int]] = {
        "sbatch": sbatch,
        "run-job": run_job,
        "srun": srun,
        "sacct": sacct,
        "scancel": scancel,
    }
    sys.exit(commands[sys.argv[1]](*sys.argv[2:]))
