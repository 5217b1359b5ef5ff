"""The first lines that run in the process of a benchmark's arm."""

from __future__ import annotations

import os
import sys
from multiprocessing.connection import Connection
from pathlib import Path

from harness.execution.entry import settle

__all__ = ["bench_worker"]


def bench_worker(arm: str, task: str, log_folder: str, home: str, connection: Connection) -> None:
    """As `worker`, for one arm of a bench. Ends the process at once: it leaves nothing to finish.

    `arm`: an `Arm` as JSON. `task`: as `harness.benchmark.child.main` takes it.
    """
    settle(Path(log_folder), home)
    from harness.benchmark.child.main import main

    code = main(arm, task, connection)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
