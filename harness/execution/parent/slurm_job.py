"""The command of a SLURM job: makes one run as on a single machine, and leaves its record.

`python -m harness.execution.parent.slurm_job FILE`, where FILE is a `JobFile`. The exit code is 0
if there is a record, also of a run that failed.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, NoReturn

from pydantic import BaseModel, ConfigDict

from harness.execution.parent.failures import fail
from harness.execution.parent.process import import_ahead
from harness.execution.parent.runner import Run, run_all
from harness.spec.case import RunSpec

__all__ = ["JobFile", "hide_cluster", "main"]


class JobFile(BaseModel):
    """What one job does."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spec: RunSpec
    folder: Path
    """For the record; absolute."""
    python: str | None
    """The interpreter whose libraries it uses; None: that of the job."""
    timeout_s: float
    """As for `run_all`."""

    @property
    def run(self) -> Run:
        """The run that the job makes."""
        return Run(self.spec, self.folder, self.python)


class _TimeIsUp(KeyboardInterrupt):
    """SLURM ends the job in a moment."""


def main(path: str) -> int:
    """Make the run that a `JobFile` describes; return the exit code."""
    job = JobFile.model_validate_json(Path(path).read_bytes())
    number_of_job = os.environ.get("SLURM_JOB_ID")
    hide_cluster(os.environ)
    # SLURM signals all processes of a job. Those that this one starts are ended by this one.
    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    import_ahead()
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGUSR2, _time_is_up)
    try:
        run_all([job.run], 1, _ignore, keep_going=True, timeout_s=job.timeout_s)
    except _TimeIsUp:
        fail(job.run, f"SLURM job {number_of_job} reached its time limit")
    except KeyboardInterrupt:
        return 1
    return 0


def hide_cluster(variables: MutableMapping[str, str]) -> None:
    """Remove what SLURM and submitit tell a job: a library such as Lightning would adapt to it, and
    the run would no longer be that of a single machine."""
    for name in [name for name in variables if name.startswith(("SLURM_", "SUBMITIT_"))]:
        del variables[name]


def _ignore(_number: int, _event: dict[str, Any]) -> None:
    """The parent of all jobs reads files only."""


def _stop(_number: int, _frame: Any) -> NoReturn:
    raise KeyboardInterrupt


def _time_is_up(_number: int, _frame: Any) -> NoReturn:
    raise _TimeIsUp


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
