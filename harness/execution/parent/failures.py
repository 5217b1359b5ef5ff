"""How runs end: their records are gathered, and a run without a record gets one with the reason."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

from harness.errors import DiskFull, RecordError
from harness.execution.entry import LOG
from harness.execution.nodes import Part, node_folder
from harness.execution.parent.process import Run, Worker
from harness.results import ranks
from harness.results.record import HEADER, SCHEMA_VERSION, Header, RecordWriter, RunRecord

__all__ = ["abort", "conclude", "fail", "gather", "part_of"]

_TAIL = 40  # last lines of a log that are kept
_LEAST_BYTES = 4096  # a disk with less is full


def gather(run: Run) -> bool:
    """Join the records of several processes into one; return whether there is a record now."""
    if run.spec.case.world_size > 1 and not (run.folder / HEADER).is_file():
        try:
            ranks.gather(run.folder, run.spec.case.world_size)
        except RecordError:
            return False
    if not (run.folder / HEADER).is_file():
        return False
    shutil.rmtree(_nodes(run), ignore_errors=True)
    return True


def part_of(worker: Worker) -> Part:
    """This machine's part of a run that ended by itself."""
    code = worker.process.exitcode or 0
    codes = worker.exit_codes
    if worker.run.spec.case.world_size == 1 and code:
        codes = {0: code}
    return Part(exit_codes=codes, failed=bool(code), refusal=worker.refusal)


def abort(worker: Worker, timeout_s: float) -> Part:
    """End a run that hangs on this machine; return its part, with where each process was."""
    answers = worker.where()
    worker.signal(signal.SIGKILL)
    worker.end()
    places = []
    for rank in worker.ranks:
        place = f"rank {rank} does not answer"
        if rank in answers:
            innermost = (answers[rank]["stack"] or ["its end"])[-1]
            where = innermost.strip().partition("\n")[0]
            place = f"rank {rank} after step {answers[rank]['step']} at {where}"
        places.append(place)
    stacks = "\n\n".join(
        f"rank {rank}:\n{''.join(answer['stack'])}" for rank, answer in answers.items()
    )
    error = f"no step for {timeout_s:g} s: {'; '.join(places)}"
    return Part(error=error, stacks=stacks, failed=True)


def conclude(run: Run, parts: Mapping[int, Part | None]) -> None:
    """Leave one record of a run that has ended on every node. `parts`: its part on each node.

    Raises `DiskFull` if it ended without a record where there is no space for one.
    """
    ended = {node: part for node, part in parts.items() if part}
    if any(part.error or part.refusal for part in ended.values()) or not gather(run):
        if shutil.disk_usage(run.folder).free < _LEAST_BYTES:
            raise DiskFull(run.folder)
        fail(run, _why(run, parts), _traceback(run, ended))


def _nodes(run: Run) -> Path:
    return node_folder(run.folder, 0).parent


def _why(run: Run, parts: Mapping[int, Part | None]) -> str:
    ended = [part for part in parts.values() if part]
    refusals = dict.fromkeys(f"refused: {part.refusal}" for part in ended if part.refusal)
    stopped = [part.error for part in ended if part.error]
    absent = [f"node {node} did not start it" for node, part in parts.items() if part is None]
    if refusals or stopped or absent:
        return "; ".join([*refusals, *stopped, *absent])
    codes = {rank: code for part in ended for rank, code in part.exit_codes.items()}
    if run.spec.case.world_size == 1:
        return f"the worker ended with {_ending(codes.get(0, 0))}"
    errors = _errors(run)
    for rank, error in errors.items():
        if not ranks.is_peer_failure(error):
            return f"rank {rank}: {error}"
    # Each launcher names the first rank that failed there, perhaps because of another node.
    causes = {rank: code for rank, code in codes.items() if rank not in errors} or codes
    endings = [
        f"rank {rank} of {run.spec.case.world_size} ended with {_ending(code)}"
        for rank, code in sorted(causes.items())
    ]
    return "; ".join(endings) or "some of its processes failed"


def _errors(run: Run) -> dict[int, str]:
    """By rank, the errors that processes recorded themselves before they ended."""
    found = {}
    for rank in range(run.spec.case.world_size):
        try:
            header = RunRecord(ranks.rank_folder(run.folder, rank)).header
        except RecordError:
            continue
        if header.error:
            found[rank] = header.error
    return found


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _traceback(run: Run, parts: Mapping[int, Part]) -> str:
    """The stacks of processes that were aborted, or else the last lines of all logs."""
    if any(part.refusal for part in parts.values()):
        return ""
    stacks = [part.stacks for part in parts.values() if part.error]
    if stacks:
        return "\n\n".join(stacks)
    if run.spec.case.world_size == 1:
        return _tail(run.folder)
    tails = [
        f"rank {folder.name}:\n{_tail(folder)}"
        for folder in sorted((run.folder / ranks.FOLDER).glob("*"))
    ]
    tails.append(f"launcher:\n{_tail(run.folder)}")
    tails += [
        f"launcher of node {node}:\n{_tail(node_folder(run.folder, node))}"
        for node in parts
        if node
    ]
    return "\n\n".join(tails)


def _tail(folder: Path) -> str:
    log = folder / LOG
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return "\n".join(text.splitlines()[-_TAIL:])


def fail(run: Run, error: str, traceback: str = "") -> None:
    """Leave a record of a run that failed. What it had recorded is removed; checkpoints stay."""
    for trace in run.folder.glob("*.parquet"):  # incomplete
        trace.unlink()
    for folder in (run.folder / ranks.FOLDER, _nodes(run)):
        shutil.rmtree(folder, ignore_errors=True)
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
