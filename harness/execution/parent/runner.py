"""The parent: starts the runs, a few at a time, gathers their records and cleans up.

Whatever happens (a crash, a refusal, a process that hangs, Ctrl-C), no worker outlives the call,
and completed records stay.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from typing import Any

from harness.errors import DiskFull, RunFailed, SpecError
from harness.execution.nodes import Meeting, Part
from harness.execution.parent.failures import abort, conclude, gather, part_of
from harness.execution.parent.process import Run, Worker, launch, stop
from harness.results.record import HEADER, RunRecord
from harness.spec.request import TIMEOUT_S

__all__ = ["OnEvent", "Run", "run_all"]

_POLL_S = 1.0  # how often one of several nodes checks the others

OnEvent = Callable[[int, dict[str, Any]], None]


def run_all(
    runs: Sequence[Run],
    jobs: int | None,
    on_event: OnEvent,
    keep_going: bool = False,
    timeout_s: float = TIMEOUT_S,
    meeting: Meeting | None = None,
) -> list[RunRecord]:
    """Make the runs, at most `jobs` at a time; return their records in the same order.

    `jobs` None: as many at a time as there are cores for their threads, and one on a GPU.

    `on_event(number, event)` is called with every run's progress. A run that fails, or reports no
    step for `timeout_s`, leaves a record of that. Raises `SpecError` if a worker refuses its spec,
    and stops the others; with `keep_going` that run has failed and the others continue. On
    KeyboardInterrupt the workers finish their records before the exception is raised again.

    With a `meeting` this is one of several nodes, and `jobs` is 1. Node 0 gives each run its turn
    and gathers the records of all nodes. The others make their part and return no records. Raises
    `RunFailed` if another node has left the command, and `DiskFull` if a worker found no space.
    """
    waiting = list(enumerate(runs))
    active: list[Worker] = []
    try:
        while waiting or active:
            while waiting and _has_room(active, waiting[0][1], jobs):
                active.append(_begin(*waiting.pop(0), meeting))
            patience = min(each.heard_at for each in active) + timeout_s - time.monotonic()
            if meeting:
                patience = min(patience, _POLL_S)
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
                    own = part_of(worker)
                elif time.monotonic() > worker.heard_at + timeout_s:
                    own = abort(worker, timeout_s)
                    active.remove(worker)
                elif meeting and meeting.is_over(worker.run.folder):
                    stop([worker], signal.SIGKILL)
                    active.remove(worker)
                    worker.end()
                    own = part_of(worker)
                else:
                    continue
                _finish(worker, meeting, own)
                on_event(worker.number, {"event": "ended"})
    except (KeyboardInterrupt, SpecError) as error:
        interrupted = isinstance(error, KeyboardInterrupt)
        stop(active, signal.SIGINT if interrupted else signal.SIGKILL)
        for worker in active:
            if meeting and meeting.leads:
                meeting.parts(worker.run.folder)  # after this no process writes there
            if interrupted and (not meeting or meeting.leads):
                gather(worker.run)
        raise
    except DiskFull:
        stop(active, signal.SIGKILL)
        _remove_unfinished(runs)
        raise
    finally:
        stop(active, signal.SIGKILL)
    return [RunRecord(run.folder) for run in runs] if not meeting or meeting.leads else []


def _remove_unfinished(runs: Sequence[Run]) -> None:
    """Remove the traces of runs without a header, which nothing can read."""
    for run in runs:
        if not (run.folder / HEADER).is_file():
            for trace in run.folder.glob("**/*.parquet"):
                trace.unlink()


def _begin(number: int, run: Run, meeting: Meeting | None) -> Worker:
    if meeting is None:
        return launch(number, run)
    if not meeting.leads:
        meeting.report(run.folder, Part(ended=False))
    worker = launch(number, run, node=meeting.node)
    if meeting.leads:
        meeting.begin_turn(run.folder, run.spec)
    return worker


def _has_room(active: Sequence[Worker], following: Run, jobs: int | None) -> bool:
    if jobs is not None or not active:
        return len(active) < (jobs or 1)
    runs = [*(worker.run for worker in active), following]
    if any(run.spec.case.device != "cpu" for run in runs):
        return False
    threads = sum(run.spec.recipe.num_threads * run.spec.case.world_size for run in runs)
    return threads <= (os.cpu_count() or 1)


def _listen(worker: Worker, on_event: OnEvent, keep_going: bool) -> None:
    """Pass on the events of a worker. Raises `SpecError` if it refused its spec, and `DiskFull`."""
    for rank, event in worker.events():
        if event["event"] == "disk_full":
            raise DiskFull(worker.run.folder)
        if rank != worker.ranks.start and event["event"] != "refused":
            continue  # the first process reports for all
        if event["event"] == "refused" and not keep_going:
            raise SpecError(event["message"])
        on_event(worker.number, event)


def _finish(worker: Worker, meeting: Meeting | None, own: Part) -> None:
    """Make the record of a run that has ended. Nodes other than node 0 report their part to it."""
    folder = worker.run.folder
    if meeting and not meeting.leads:
        meeting.report(folder, own)
        return
    parts = {0: own, **(meeting.parts(folder) if meeting else {})}
    conclude(worker.run, parts)
    for node, part in parts.items():
        if part and part.refusal and part.leaves:
            raise SpecError(f"node {node}: {part.refusal}")
        # A node that did not come to an aborted run does not come to the next one either.
        if part.leaves if part else own.error:
            raise RunFailed(
                "every node takes part until the command ends",
                f"node {node} has left",
                "completed records are kept",
            )
