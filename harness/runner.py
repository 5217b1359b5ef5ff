"""The parent: starts one worker for each run, a few at a time, gathers records, cleans up.

Whatever happens (a crash, a refusal, Ctrl-C), no worker outlives the call, and records that were
complete stay.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import SpecError
from harness.record import HEADER, SCHEMA_VERSION, Header, RecordWriter, RunRecord
from harness.spec import RunSpec

__all__ = ["Run", "label", "run_all"]

LOG = "log.txt"
_GRACE_S = 10.0  # what an interrupted worker is given to write its record


@dataclass(frozen=True)
class Run:
    """One run to be made: what, and the folder of its record."""

    spec: RunSpec
    folder: Path


@dataclass
class _Worker:
    number: int
    run: Run
    process: subprocess.Popen[str]
    reader: threading.Thread = field(init=False)


OnEvent = Callable[[int, dict[str, Any]], None]


def label(spec: RunSpec) -> str:
    """What a run is called within its case: the loop, and a number from the second repeat on."""
    name = Path(spec.loop).stem
    return name if spec.repeat == 1 else f"{name}-{spec.repeat}"


def run_all(runs: Sequence[Run], jobs: int, on_event: OnEvent) -> list[RunRecord]:
    """Make the runs, at most `jobs` at a time; return their records in the same order.

    `on_event(number, event)` hears of every run's progress, always in the calling thread. A run
    that fails leaves a record that says so. Raises `SpecError` when a worker refuses what it was
    given: then the others are stopped. On KeyboardInterrupt the workers are asked to finish their
    records before it goes on up.
    """
    events: queue.Queue[tuple[_Worker, dict[str, Any] | None]] = queue.Queue()
    waiting = list(enumerate(runs))
    active: dict[int, _Worker] = {}
    with tempfile.TemporaryDirectory(prefix="harness-") as scratch:
        try:
            while waiting or active:
                while waiting and len(active) < jobs:
                    number, run = waiting.pop(0)
                    active[number] = _start(number, run, Path(scratch), events)
                worker, event = events.get()
                if event is None:
                    del active[worker.number]
                    _finish(worker)
                    on_event(worker.number, {"event": "ended"})
                elif event["event"] == "refused":
                    raise SpecError(event["message"])
                else:
                    on_event(worker.number, event)
        except KeyboardInterrupt:
            _stop(active.values(), signal.SIGINT)
            raise
        finally:
            _stop(active.values(), signal.SIGKILL)
    return [RunRecord(run.folder) for run in runs]


def _start(number: int, run: Run, scratch: Path, events: queue.Queue[Any]) -> _Worker:
    run.folder.mkdir(parents=True, exist_ok=True)
    spec_file = scratch / f"{number}.json"
    spec_file.write_text(run.spec.model_dump_json(), encoding="utf-8")
    own = scratch / f"{number}-cache"
    with (run.folder / LOG).open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "harness.worker", str(spec_file), str(run.folder)],
            stdin=subprocess.PIPE,  # never written to: its end tells the worker that we are gone
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=_environment(run.spec, own),
            start_new_session=True,  # so that its own children can be ended with it
        )
    worker = _Worker(number, run, process)
    worker.reader = threading.Thread(target=_read, args=(worker, events), daemon=True)
    worker.reader.start()
    return worker


def _environment(spec: RunSpec, own: Path) -> dict[str, str]:
    """The worker's variables: caches of its own, one thread count for every library, no chatter."""
    threads = str(spec.recipe.num_threads)
    package = str(Path(__file__).parent.parent)
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")])),
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "TOKENIZERS_PARALLELISM": "false",
        "HF_MODULES_CACHE": str(own / "modules"),
        "HF_METRICS_CACHE": str(own / "metrics"),
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "PYTHONUNBUFFERED": "1",
    }


def _read(worker: _Worker, events: queue.Queue[Any]) -> None:
    assert worker.process.stdout is not None
    for line in worker.process.stdout:
        events.put((worker, json.loads(line)))
    worker.process.wait()
    events.put((worker, None))


def _finish(worker: _Worker) -> None:
    """A worker that could not write its own record (killed, out of memory) gets one here."""
    for pipe in (worker.process.stdin, worker.process.stdout):
        if pipe is not None:
            pipe.close()
    if (worker.run.folder / HEADER).is_file():
        return
    code = worker.process.returncode
    reason = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    log = (worker.run.folder / LOG).read_text(encoding="utf-8", errors="replace")
    for trace in worker.run.folder.glob("*.parquet"):  # cut off in the middle of being written
        trace.unlink()
    RecordWriter(worker.run.folder).close(
        Header(
            schema_version=SCHEMA_VERSION,
            spec=worker.run.spec,
            status="failed",
            environment={},
            error=f"the worker ended with {reason}",
            traceback="\n".join(log.splitlines()[-40:]),
        )
    )


def _stop(workers: Any, number: signal.Signals) -> None:
    """Signal whole process groups and wait for them; what does not end in time is killed."""
    workers = list(workers)
    for worker in workers:
        _signal(worker, number)
    deadline = time.monotonic() + _GRACE_S
    for worker in workers:
        try:
            worker.process.wait(timeout=max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            _signal(worker, signal.SIGKILL)
            worker.process.wait()
        worker.reader.join()


def _signal(worker: _Worker, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # it ended by itself
        os.killpg(worker.process.pid, number)
