"""The first lines that run in a worker's process. The parent names them without importing torch."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from multiprocessing.connection import Connection

__all__ = ["worker"]

_VARIABLES = {
    "TOKENIZERS_PARALLELISM": "false",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # must stand before the process first touches CUDA
}


def worker(spec: str, folder: str, log: str, home: str, connection: Connection) -> None:
    """Leave the parent's terminal, write what is printed to `log`, and make the run.

    `spec`: a `RunSpec` as JSON. `folder`: where the record goes. `home`: the parent's working
    folder, from which relative paths start. Ends the process with the exit
    code of `harness.worker`.
    """
    # The parent interrupts with SIGINT, which a job in the background inherits as ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.setsid()  # so that this process and its children can be signalled together
    os.chdir(home)
    os.environ.update(_VARIABLES)
    # A DataLoader's workers are to start as they do outside the harness, not as this process did.
    multiprocessing.set_start_method(None, force=True)
    sys.stdout.flush()
    sys.stderr.flush()
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)

    from harness.worker import main

    sys.exit(main(spec, folder, connection))
