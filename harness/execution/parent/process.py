"""Started runs: their processes, the events they send, and how they are ended.

A process is forked from a server that has imported the libraries once. So each run has its own
process without seconds of imports. If several train together, a launcher process forks them, as
`torchrun` does.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import socket
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.execution import entry
from harness.execution.environments.interpreter import check_training_libraries, linked_package
from harness.execution.nodes import Node, node_folder
from harness.results.ranks import FOLDER
from harness.results.record import HEADER
from harness.spec import registry
from harness.spec.case import RunSpec

__all__ = ["Run", "Worker", "fork", "import_ahead", "launch", "stop"]

_PRELOADED = [
    "harness.execution.child.main",
    *(f"harness.training.workloads.{name}" for name in registry.workloads()),
    *(f"harness.training.loops.{e.name}" for e in registry.loops().values() if not e.requires),
    "harness.execution.child.preload",  # last, once everything else is imported
]
_GRACE_S = 10.0  # time for an interrupted worker to write its record
_RENDEZVOUS_S = 24 * 3600  # the parent notices nodes that do not come
_ANSWER_S = 2.0  # time for a hanging process to answer where it is


@dataclass(frozen=True)
class Run:
    """One run to be made, and the folder of its record."""

    spec: RunSpec
    folder: Path
    python: str | None = None
    """The interpreter whose libraries it uses; None: the current one."""


@dataclass
class Worker:
    """A run under way."""

    number: int
    run: Run
    process: ForkServerProcess
    """The process that trains, or the launcher of several."""
    connections: list[Connection]
    """One to each process that trains here, by rank, then one to their launcher, if any."""
    resumed: bool
    """Whether it resumes a run whose process was killed as its spec requires."""
    node: Node | None = None
    """The number of this machine among several; None: it trains alone."""
    dying: bool = False
    """Whether it has reported that it kills itself, as its spec requires."""
    heard_at: float = field(default_factory=time.monotonic)
    """Time of its last event, in seconds of the monotonic clock."""
    exit_codes: dict[int, int] = field(default_factory=dict)
    """Exit codes of the ranks that failed, as their launcher reports them."""
    refusal: str = ""
    """Why one of its processes refused its spec; empty if none did."""

    @property
    def ranks(self) -> range:
        """Ranks of the processes that train on this machine."""
        count = self.run.spec.processes_per_node
        first = count * self.node.rank if self.node else 0
        return range(first, first + count)

    def events(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Rank and event of each new message. A launcher's rank follows the last rank."""
        for rank, connection in enumerate(self.connections, start=self.ranks.start):
            with suppress(EOFError, OSError):  # it ended
                while connection.poll():
                    yield rank, self._note(json.loads(connection.recv_bytes()))

    def _note(self, event: dict[str, Any]) -> dict[str, Any]:
        self.heard_at = time.monotonic()
        self.dying = self.dying or event["event"] == "dying"
        if event["event"] == "ranks_failed":
            self.exit_codes = {int(rank): code for rank, code in event["exit_codes"].items()}
        if event["event"] == "refused":
            self.refusal = event["message"]
        return event

    def where(self) -> dict[int, dict[str, Any]]:
        """By rank, the `step` and `stack` of each process, the innermost call last.

        A process that hangs outside of Python does not answer.
        """
        trainers = self.connections[: len(self.ranks)]
        for connection in trainers:
            with suppress(OSError):
                connection.send_bytes(b"where")
        found: dict[int, dict[str, Any]] = {}
        deadline = time.monotonic() + _ANSWER_S
        while len(found) < len(trainers) and time.monotonic() < deadline:
            found |= {rank: event for rank, event in self.events() if event["event"] == "where"}
            time.sleep(0.05)
        return found

    def end(self) -> None:
        """Wait for its end, and kill processes that it left behind."""
        self.process.join()
        for connection in self.connections:
            connection.close()
        assert self.process.pid is not None
        # The workers of a DataLoader outlive a killed main process by seconds.
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        """Signal its process group, or the process itself if it has no group yet."""
        pid = self.process.pid
        assert pid is not None
        with suppress(ProcessLookupError):
            try:
                os.killpg(pid, number)
            except ProcessLookupError:
                os.kill(pid, number)


def import_ahead() -> None:
    """Import the libraries before there is something to train."""
    _context()
    with _main_hidden():
        forkserver.ensure_running()


def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    return context


def fork(
    target: Callable[..., None], args: tuple[Any, ...], python: str | None = None
) -> ForkServerProcess:
    """A started process that calls `target`, with the libraries imported.

    `python`: another interpreter, whose process imports its own libraries. None: the current one;
    raises `SpecError` if it lacks what training needs.
    """
    if python is None:
        check_training_libraries()
    else:
        target, args = (
            entry.become,
            (python, str(linked_package()), f"{target.__module__}:{target.__qualname__}", args),
        )
    process = _context().Process(target=target, args=args)
    with _main_hidden():
        process.start()
    return process


def launch(number: int, run: Run, resumed: bool = False, node: Node | None = None) -> Worker:
    """Start a run, or this node's part of it."""
    log_folder = run.folder
    if node and node.rank:
        log_folder = node_folder(run.folder, node.rank)
    else:
        run.folder.mkdir(parents=True, exist_ok=True)
        _remove_earlier_attempt(run.folder)
    context = _context()
    alone = run.spec.case.world_size == 1
    count = run.spec.processes_per_node
    pipes = [context.Pipe() for _ in range(1 if alone else count + 1)]
    ours, theirs = zip(*pipes, strict=True)
    common = (run.spec.model_dump_json(), str(run.folder), os.getcwd())
    if alone:
        process = fork(entry.worker, (*common, *theirs), run.python)
    else:
        arguments = _arguments(run.spec) if node is None else _node_arguments(run, node)
        last = (run.spec.launcher, arguments, theirs[:-1], theirs[-1], str(log_folder))
        process = fork(entry.launcher, (*common, *last), run.python)
    for end in theirs:
        end.close()
    return Worker(number, run, process, list(ours), resumed, node)


def _remove_earlier_attempt(folder: Path) -> None:
    """Remove what a killed command may have left, so that none of it counts as part of this run.

    Headers of single processes would otherwise be gathered. Checkpoints stay.
    """
    files = (folder / HEADER, *folder.glob(f"{FOLDER}/*/{HEADER}"), *folder.glob(f".{HEADER}.*"))
    for path in files:
        path.unlink(missing_ok=True)
    for path in folder.glob(".last-*"):
        shutil.rmtree(path, ignore_errors=True)


def _arguments(spec: RunSpec) -> list[str]:
    """Arguments of the launcher of several processes on this machine."""
    count = spec.case.world_size
    if spec.launcher == "torchrun":
        return [
            f"--nproc-per-node={count}",
            # As torchrun does for --standalone: any free port.
            "--rdzv-backend=c10d",
            "--rdzv-endpoint=localhost:0",
            f"--rdzv-id={uuid.uuid4()}",
        ]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    if spec.launcher == "notebook":
        return [str(count), str(port)]
    # Also on a CPU, because with --cpu it starts a single process.
    arguments = ["--multi_gpu", f"--num_processes={count}", f"--main_process_port={port}"]
    if spec.launcher_config is not None:
        return [f"--config_file={spec.launcher_config}", *arguments]
    return [*arguments, "--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no"]


def _node_arguments(run: Run, node: Node) -> list[str]:
    """Arguments of the launcher on one of several machines."""
    spec = run.spec
    if spec.launcher == "torchrun":
        return [
            f"--nproc-per-node={spec.processes_per_node}",
            f"--nnodes={node.count}",
            f"--node-rank={node.rank}",
            "--rdzv-backend=static",  # with it each node keeps its number
            f"--rdzv-endpoint={node.address}:{node.port}",
            # Runs use one port in turn: the id keeps a run from joining an earlier one.
            f"--rdzv-id={run.folder.name}-{spec.key}",
            f"--rdzv-conf=timeout={_RENDEZVOUS_S}",
        ]
    config = [] if spec.launcher_config is None else [f"--config_file={spec.launcher_config}"]
    return [
        *config,
        "--multi_gpu",
        f"--num_processes={spec.case.world_size}",
        f"--num_machines={node.count}",
        f"--machine_rank={node.rank}",
        f"--main_process_ip={node.address}",
        f"--main_process_port={node.port}",
        "--rdzv_backend=static",
        f"--rdzv_conf=timeout={_RENDEZVOUS_S}",
        *([] if config else ["--mixed_precision=no", "--dynamo_backend=no"]),
    ]


@contextmanager
def _main_hidden() -> Iterator[None]:
    """Keep multiprocessing from running the user's script again in workers."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def stop(workers: Iterable[Worker], number: signal.Signals) -> None:
    """Signal whole process groups and wait for them; kill those that do not end in time."""
    workers = list(workers)
    for worker in workers:
        worker.signal(number)
    deadline = time.monotonic() + _GRACE_S
    for worker in workers:
        worker.process.join(timeout=max(0.0, deadline - time.monotonic()))
        worker.signal(signal.SIGKILL)  # the worker, or its remaining children
        worker.process.join()
