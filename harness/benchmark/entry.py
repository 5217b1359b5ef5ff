"""The entry point of the process of an arm."""

from __future__ import annotations

import os
import sys
from multiprocessing.connection import Connection
from pathlib import Path

from harness.execution.entry import settle

__all__ = ["bench_worker"]


def bench_worker(arm: str, task: str, log_folder: str, home: str, connection: Connection) -> None:
    """Run one arm of a bench, as `worker` runs a training, and end the process.

    `arm`: an `Arm` as JSON. `task`: see `harness.benchmark.child.main`.
    """
    settle(Path(log_folder), home)
    from harness.benchmark.child.main import main

    code = main(arm, task, connection)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
