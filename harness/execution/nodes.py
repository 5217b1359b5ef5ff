"""Several machines that train one model: which one this is, and the files by which they cooperate.

Each node runs the same command. Node 0 gives the turns: a file names the next run. The other nodes
make their part of it and report how it ended. These files lie in the output folder, which all nodes
must see. The training processes connect over the network, as with torchrun; nothing here connects
to them.
"""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.errors import RunFailed, SpecError
from harness.results.record import write_atomically
from harness.spec.case import RunSpec
from harness.spec.recipe import Model
from harness.spec.request import RunRequest

__all__ = ["Meeting", "Node", "Part", "Turn", "node_folder", "this_node"]

_TURN = "turn.json"
_PART = "part.json"
_FOLDER = "nodes"
_POLL_S = 0.25
_UNSEEN_S = 60.0  # by default an NFS client may answer from an old listing for this long
_ALONE_S = 10.0  # time for this node's processes to notice that those of others ended


@dataclass(frozen=True)
class Node:
    """One machine of several."""

    count: int
    rank: int
    address: str
    """Address of node 0, as the other nodes reach it."""
    port: int
    """Port of node 0 at which the processes of all nodes connect."""


class Turn(BaseModel):
    """The run that node 0 has begun."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str
    """The name of its folder."""
    spec: RunSpec


class Part(BaseModel):
    """The state of a node's part of a run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ended: bool = True
    """Whether all of its processes have ended."""
    error: str = ""
    """Why it was aborted; empty if its processes ended by themselves."""
    refusal: str = ""
    """Why this node cannot make it; empty if it can."""
    exit_codes: dict[int, int] = {}
    """Exit codes of the ranks that failed, as their launcher reports them."""
    stacks: str = ""
    """The stack of each rank if it was aborted."""
    failed: bool = False
    """Whether any of its processes failed."""
    leaves: bool = False
    """Whether the node takes no more turns."""


def this_node(request: RunRequest) -> Node | None:
    """The node that the request describes; None: it trains on one machine.

    Raises `SpecError` if the address of node 0 is unknown, or its port is taken on node 0.
    """
    if request.nnodes == 1:
        return None
    assert request.node_rank is not None  # the request was checked
    assert request.master_addr is not None
    address, port = request.master_addr, request.master_port
    try:
        socket.getaddrinfo(address, port)
    except OSError as error:
        rule = f"{request.option('master_addr')} is a host that can be looked up"
        raise SpecError(rule, f"{address}: {error}", "correct it") from None
    if request.node_rank == 0:
        try:
            socket.create_server(("", port)).close()
        except OSError as error:
            remedy = f"choose another {request.option('master_port')}"
            raise SpecError("node 0 needs a free port", f"{port}: {error}", remedy) from None
    return Node(request.nnodes, request.node_rank, address, port)


def node_folder(folder: Path, rank: int) -> Path:
    """The folder for the log and the state of node `rank`, within the folder of a run."""
    return folder / _FOLDER / str(rank)


class Meeting:
    """How this node and the others coordinate the runs of one command."""

    def __init__(self, node: Node, out: Path, timeout_s: float) -> None:
        """`timeout_s`: how long to wait for a turn."""
        self.node = node
        self.leads = node.rank == 0
        self.failed: list[str] = []
        """Names of the runs whose part on this node failed."""
        self._out, self._timeout_s = out, timeout_s
        self._over_at: float | None = None

    @contextmanager
    def led(self) -> Iterator[None]:
        """Inside, node 0 gives turns. Afterwards there are no more."""
        turn = self._out / _TURN
        turn.unlink(missing_ok=True)  # of an earlier command
        try:
            yield
        finally:
            turn.unlink(missing_ok=True)

    def begin_turn(self, folder: Path, spec: RunSpec) -> None:
        """Announce that node 0 has begun the run in `folder`."""
        self._over_at = None
        shutil.rmtree(folder / _FOLDER, ignore_errors=True)
        for rank in range(1, self.node.count):
            # Changes of an existing file are visible at once, also on NFS. New files may not be.
            node_folder(folder, rank).mkdir(parents=True)
            (node_folder(folder, rank) / _PART).touch()
        with write_atomically(self._out / _TURN) as path:
            turn = Turn(run=folder.name, spec=spec)
            path.write_text(turn.model_dump_json() + "\n", encoding="utf-8")

    def next_turn(self, after: str | None) -> Turn | None:
        """Wait for the turn that follows the run named `after`; None: node 0 has ended.

        Raises `RunFailed` if it does not come in time, and `SpecError` if node 0 works in a folder
        that is not visible here.
        """
        self._over_at = None
        began, answered_at = time.monotonic(), None
        while time.monotonic() < began + self._timeout_s:
            turn = self._turn()
            if after is not None and not (self._out / _TURN).exists():
                return None
            if turn is not None and turn.run != after:
                return turn
            if turn is None and not self._node_0_answers():
                answered_at = None
            elif turn is None:
                answered_at = answered_at or time.monotonic()
                if time.monotonic() > answered_at + _UNSEEN_S:
                    raise SpecError(
                        "--out takes a folder on a file system that all nodes share",
                        f"node 0 works, but not in {self._out}",
                        "choose a shared folder",
                    )
            time.sleep(_POLL_S)
        raise RunFailed(
            f"node 0 begins a run within {self._timeout_s:g} s",
            f"no sign of it in {self._out}",
            "start it, or raise --timeout",
        )

    def report(self, folder: Path, part: Part) -> None:
        """Write the state of this node's part of the run in `folder`."""
        if part.failed:
            self.failed.append(folder.name)
        # In place, as in `begin_turn`. The folder is gone if node 0 refused the run.
        with suppress(OSError):
            path = node_folder(folder, self.node.rank) / _PART
            path.write_text(part.model_dump_json() + "\n", encoding="utf-8")

    def is_over(self, folder: Path) -> bool:
        """Whether other nodes aborted the run so long ago that it cannot continue here."""
        if self.leads:
            over = any(part and part.failed for part in self._parts(folder).values())
        else:
            turn = self._turn()
            over = turn is None or turn.run != folder.name
        if not over:
            self._over_at = None
            return False
        self._over_at = self._over_at or time.monotonic()
        return time.monotonic() > self._over_at + _ALONE_S

    def parts(self, folder: Path) -> dict[int, Part | None]:
        """The parts of the other nodes by number, after those that had begun have ended.

        None: the node has not begun. A node that does not answer has left.
        """
        deadline = time.monotonic() + _UNSEEN_S
        while True:
            found = self._parts(folder)
            silent = [rank for rank, part in found.items() if part and not part.ended]
            if not silent:
                return found
            if time.monotonic() > deadline:
                gone = {
                    rank: Part(error=f"node {rank} does not answer", failed=True, leaves=True)
                    for rank in silent
                }
                return found | gone
            time.sleep(_POLL_S)

    def _parts(self, folder: Path) -> dict[int, Part | None]:
        others = range(1, self.node.count)
        return {rank: _read(Part, node_folder(folder, rank) / _PART) for rank in others}

    def _turn(self) -> Turn | None:
        return _read(Turn, self._out / _TURN)

    def _node_0_answers(self) -> bool:
        try:
            socket.create_connection((self.node.address, self.node.port), timeout=1).close()
        except OSError:
            return False
        return True


def _read(kind: type[Model], path: Path) -> Model | None:
    """The content of the file; None if it is absent or incomplete."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
