"""The parent: starts one worker for each run, a few at a time, gathers records, cleans up.

Whatever happens (a crash, a refusal, Ctrl-C), no worker outlives the call, and records that were
complete stay. Workers are forked from a server process that has imported the libraries once, so
that each run has a process of its own without paying seconds of imports.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import ModuleType
from typing import Any

from harness import catalogue, start
from harness.errors import SpecError
from harness.record import HEADER, SCHEMA_VERSION, Header, RecordWriter, RunRecord
from harness.resume import FOLDER
from harness.spec import RunSpec

__all__ = ["OnEvent", "Run", "label", "run_all"]

LOG = "log.txt"
_PRELOADED = [
    "harness.worker",
    *(f"harness.workloads.{name}" for name in catalogue.workloads()),
    *(f"harness.loops.{name}" for name in catalogue.loops()),
]
_GRACE_S = 10.0  # what an interrupted worker is given to write its record


@dataclass(frozen=True)
class Run:
    """One run to be made: what, and the folder of its record."""

    spec: RunSpec
    folder: Path


@dataclass(frozen=True)
class _Worker:
    number: int
    run: Run
    process: ForkServerProcess
    connection: Connection
    resumed: bool
    """Whether it goes on from where another one was ended as its run's spec asks."""


OnEvent = Callable[[int, dict[str, Any]], None]


def label(spec: RunSpec) -> str:
    """What a run is called within its case: the loop, and a number from the second repeat on.

    An arm has a name of its own; a draw is numbered.
    """
    if spec.perturbation is not None:
        return f"{Path(spec.loop).stem}-{spec.perturbation.rounding}-{spec.perturbation.draw}"
    name = spec.arm or Path(spec.loop).stem
    if spec.resume_at is not None:
        name += "-resumed"
    return name if spec.repeat == 1 else f"{name}-{spec.repeat}"


def run_all(
    runs: Sequence[Run], jobs: int | None, on_event: OnEvent, keep_going: bool = False
) -> list[RunRecord]:
    """Make the runs, at most `jobs` at a time; return their records in the same order.

    `jobs` None: as many at a time as have a core for each of their threads, on CUDA one.

    `on_event(number, event)` hears of every run's progress. A run that fails leaves a record that
    says so. Raises `SpecError` when a worker refuses what it was given: then the others are
    stopped; with `keep_going` that run has failed and the others go on. On KeyboardInterrupt the
    workers are asked to finish their records before it goes on up.
    """
    waiting = list(enumerate(runs))
    active: list[_Worker] = []
    try:
        while waiting or active:
            while waiting and _has_room(active, waiting[0][1], jobs):
                active.append(_start(*waiting.pop(0)))
            ready = wait(
                [part for each in active for part in (each.connection, each.process.sentinel)]
            )
            for worker in list(active):
                if worker.connection in ready or worker.process.sentinel in ready:
                    _listen(worker, on_event, keep_going)
                if worker.process.sentinel in ready:
                    active.remove(worker)
                    if _ended_to_be_resumed(worker):
                        active.append(_start(worker.number, worker.run, resumed=True))
                    else:
                        _finish(worker)
                        on_event(worker.number, {"event": "ended"})
    except KeyboardInterrupt:
        _stop(active, signal.SIGINT)
        raise
    finally:
        _stop(active, signal.SIGKILL)
    return [RunRecord(run.folder) for run in runs]


def _has_room(active: Sequence[_Worker], following: Run, jobs: int | None) -> bool:
    if jobs is not None or not active:
        return len(active) < (jobs or 1)
    runs = [*(worker.run for worker in active), following]
    if any(run.spec.case.device != "cpu" for run in runs):
        return False
    return sum(run.spec.recipe.num_threads for run in runs) <= (os.cpu_count() or 1)


def _ended_to_be_resumed(worker: _Worker) -> bool:
    worker.process.join()
    _kill_group(worker)  # a DataLoader's workers outlive a main process that was killed by seconds
    killed = worker.process.exitcode == -signal.SIGKILL
    asked = worker.run.spec.resume_at is not None and not worker.resumed
    return killed and asked and any((worker.run.folder / FOLDER).glob("checkpoint-*.json"))


def _start(number: int, run: Run, resumed: bool = False) -> _Worker:
    run.folder.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    ours, theirs = context.Pipe()
    process = context.Process(
        target=start.worker,
        args=(
            run.spec.model_dump_json(),
            str(run.folder),
            str(run.folder / LOG),
            os.getcwd(),
            theirs,
        ),
    )
    with _main_hidden():
        process.start()
    theirs.close()
    return _Worker(number, run, process, ours, resumed)


@contextmanager
def _main_hidden() -> Iterator[None]:
    """Keep multiprocessing from running the user's script again in workers that need none."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _listen(worker: _Worker, on_event: OnEvent, keep_going: bool) -> None:
    """Pass on what a worker has told so far. Raises `SpecError` where it refused its spec."""
    with suppress(EOFError, ConnectionResetError):  # it ended
        while worker.connection.poll():
            event = json.loads(worker.connection.recv_bytes())
            if event["event"] == "refused" and keep_going:
                _write_failure(worker.run, f"refused: {event['message']}", "")
            elif event["event"] == "refused":
                raise SpecError(event["message"])
            on_event(worker.number, event)


def _finish(worker: _Worker) -> None:
    """A worker that could not write its own record (killed, out of memory) gets one here."""
    worker.process.join()
    worker.connection.close()
    if (worker.run.folder / HEADER).is_file():
        return
    code = worker.process.exitcode or 0
    reason = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    log = worker.run.folder / LOG
    said = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    tail = "\n".join(said.splitlines()[-40:])
    _write_failure(worker.run, f"the worker ended with {reason}", tail)


def _write_failure(run: Run, error: str, traceback: str) -> None:
    for trace in run.folder.glob("*.parquet"):  # cut off in the middle of being written
        trace.unlink()
    RecordWriter(run.folder).close(
        Header(
            schema_version=SCHEMA_VERSION,
            spec=run.spec,
            status="failed",
            environment={},
            error=error,
            traceback=traceback,
        )
    )


def _stop(workers: Iterable[_Worker], number: signal.Signals) -> None:
    """Signal whole process groups and wait for them; what does not end in time is killed."""
    workers = list(workers)
    for worker in workers:
        _signal(worker, number)
    deadline = time.monotonic() + _GRACE_S
    for worker in workers:
        worker.process.join(timeout=max(0.0, deadline - time.monotonic()))
        _signal(worker, signal.SIGKILL)  # the worker, or children that it left behind
        worker.process.join()


def _kill_group(worker: _Worker) -> None:
    """What a worker that has ended may have left behind."""
    assert worker.process.pid is not None
    with suppress(ProcessLookupError):
        os.killpg(worker.process.pid, signal.SIGKILL)


def _signal(worker: _Worker, number: signal.Signals) -> None:
    """To the worker's group, or to itself where it has not made one yet."""
    pid = worker.process.pid
    assert pid is not None
    with suppress(ProcessLookupError):
        try:
            os.killpg(pid, number)
        except ProcessLookupError:
            os.kill(pid, number)
