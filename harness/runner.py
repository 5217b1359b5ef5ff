"""The parent: gives runs their turns, a few at a time, gathers their records, cleans up.

Whatever happens (a crash, a refusal, a process that hangs, Ctrl-C), no worker outlives the call,
and records that were complete stay.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from harness import ranks
from harness.errors import RecordError, SpecError
from harness.record import HEADER, SCHEMA_VERSION, Header, RecordWriter, RunRecord
from harness.spec import RunSpec
from harness.start import LOG
from harness.workers import Run, Worker, launch, stop

__all__ = ["TIMEOUT_S", "OnEvent", "Run", "label", "run_all"]

TIMEOUT_S = 1800.0
"""A run that tells of no step for so long, evaluations and compiling included, is taken to hang."""
_TAIL = 40  # lines of a log that are kept as somebody's last words

OnEvent = Callable[[int, dict[str, Any]], None]


def label(spec: RunSpec) -> str:
    """What a run is called within its case: the loop, and a number from the second repeat on.

    An arm has a name of its own; a draw is numbered, and so is the step that a run is dug at.
    """
    if spec.perturbation is not None:
        return f"{Path(spec.loop).stem}-{spec.perturbation.rounding}-{spec.perturbation.draw}"
    name = spec.arm or Path(spec.loop).stem
    if spec.resume_at is not None:
        name += "-resumed"
    if spec.dig_at is not None:
        name += f"-dug-{spec.dig_at}"
    return name if spec.repeat == 1 else f"{name}-{spec.repeat}"


def run_all(
    runs: Sequence[Run],
    jobs: int | None,
    on_event: OnEvent,
    keep_going: bool = False,
    timeout_s: float = TIMEOUT_S,
) -> list[RunRecord]:
    """Make the runs, at most `jobs` at a time; return their records in the same order.

    `jobs` None: as many at a time as have a core for each of their threads, on CUDA one.

    `on_event(number, event)` hears of every run's progress. A run that fails, or takes no step for
    `timeout_s`, leaves a record that says so. Raises `SpecError` when a worker refuses what it was
    given: then the others are stopped; with `keep_going` that run has failed and the others go on.
    On KeyboardInterrupt the workers are asked to finish their records before it goes on up.
    """
    waiting = list(enumerate(runs))
    active: list[Worker] = []
    try:
        while waiting or active:
            while waiting and _has_room(active, waiting[0][1], jobs):
                active.append(launch(*waiting.pop(0)))
            patience = min(each.heard_at for each in active) + timeout_s - time.monotonic()
            sources: list[Any] = [each.process.sentinel for each in active]
            sources += [connection for each in active for connection in each.connections]
            ready = wait(sources, timeout=max(0.0, patience))
            for worker in list(active):
                _listen(worker, on_event, keep_going)
                if worker.process.sentinel in ready:
                    active.remove(worker)
                    worker.end()
                    if worker.dying and not worker.resumed:
                        active.append(launch(worker.number, worker.run, resumed=True))
                        continue
                    _finish(worker)
                    on_event(worker.number, {"event": "ended"})
                elif time.monotonic() > worker.heard_at + timeout_s:
                    _give_up(worker, timeout_s)
                    active.remove(worker)
                    on_event(worker.number, {"event": "ended"})
    except KeyboardInterrupt:
        stop(active, signal.SIGINT)
        for worker in active:
            _gather(worker.run)
        raise
    finally:
        stop(active, signal.SIGKILL)
    return [RunRecord(run.folder) for run in runs]


def _has_room(active: Sequence[Worker], following: Run, jobs: int | None) -> bool:
    if jobs is not None or not active:
        return len(active) < (jobs or 1)
    runs = [*(worker.run for worker in active), following]
    if any(run.spec.case.device != "cpu" for run in runs):
        return False
    threads = sum(run.spec.recipe.num_threads * run.spec.case.world_size for run in runs)
    return threads <= (os.cpu_count() or 1)


def _listen(worker: Worker, on_event: OnEvent, keep_going: bool) -> None:
    """Pass on what a worker has told so far. Raises `SpecError` where it refused its spec."""
    for rank, event in worker.events():
        if rank and event["event"] != "refused":
            continue  # the first process speaks for all
        if event["event"] == "refused" and keep_going:
            _write_failure(worker.run, f"refused: {event['message']}", "")
        elif event["event"] == "refused":
            raise SpecError(event["message"])
        on_event(worker.number, event)


def _gather(run: Run) -> bool:
    """One record out of those of several processes; whether there is a record now."""
    if run.spec.case.world_size > 1 and not (run.folder / HEADER).is_file():
        try:
            ranks.gather(run.folder, run.spec.case.world_size)
        except RecordError:
            return False
    return (run.folder / HEADER).is_file()


def _finish(worker: Worker) -> None:
    """A worker that could not write its own record (killed, out of memory) gets one here."""
    run = worker.run
    if _gather(run):
        return
    if run.spec.case.world_size == 1:
        ended = _ending(worker.process.exitcode or 0)
        _write_failure(run, f"the worker ended with {ended}", _last_words(run.folder))
        return
    told = [
        f"rank {rank} of {run.spec.case.world_size} ended with {_ending(code)}"
        for rank, code in worker.exit_codes.items()
    ]
    words = [
        f"rank {folder.name}:\n{_last_words(folder)}"
        for folder in sorted((run.folder / ranks.FOLDER).glob("*"))
    ]
    words.append(f"launcher:\n{_last_words(run.folder)}")
    error = _own_error(run) or "; ".join(told) or "its processes did not all end well"
    _write_failure(run, error, "\n\n".join(words))


def _own_error(run: Run) -> str:
    """What a process said itself before it ended, of several of which others left no record."""
    for rank in range(run.spec.case.world_size):
        try:
            header = RunRecord(ranks.rank_folder(run.folder, rank)).header
        except RecordError:
            continue
        if header.error and not ranks.is_aftermath(header.error):
            return f"rank {rank}: {header.error}"
    return ""


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _give_up(worker: Worker, timeout_s: float) -> None:
    """End a run that hangs; its record says where each of its processes was."""
    answers = worker.where()
    worker.signal(signal.SIGKILL)
    worker.end()
    places = []
    for rank in range(worker.run.spec.case.world_size):
        place = f"rank {rank} does not answer"
        if rank in answers:
            innermost = (answers[rank]["stack"] or ["its end"])[-1]
            where = innermost.strip().partition("\n")[0]
            place = f"rank {rank} after step {answers[rank]['step']} at {where}"
        places.append(place)
    words = "\n\n".join(
        f"rank {rank}:\n{''.join(answer['stack'])}" for rank, answer in answers.items()
    )
    _write_failure(worker.run, f"no step for {timeout_s:g} s: {'; '.join(places)}", words)


def _last_words(folder: Path) -> str:
    log = folder / LOG
    said = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return "\n".join(said.splitlines()[-_TAIL:])


def _write_failure(run: Run, error: str, traceback: str) -> None:
    for trace in run.folder.glob("*.parquet"):  # cut off in the middle of being written
        trace.unlink()
    shutil.rmtree(run.folder / ranks.FOLDER, ignore_errors=True)
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
