"""Several machines that train one model: which one this is, and what they tell each other.

Each is given the same command. Node 0 gives the turns: a file says which run is next. The others
take it up and tell how their part of it ended. These files lie in the output folder, which all
nodes must see. The training processes meet over the network, as torchrun has them do; nothing here
speaks to them.
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
_LOOK_S = 0.25
_UNSEEN_S = 60.0  # an NFS client may by default answer from an old listing for so long
_ALONE_S = 10.0  # what this node's processes are given to notice by themselves that others ended


@dataclass(frozen=True)
class Node:
    """One machine of several."""

    count: int
    rank: int
    address: str
    """Of node 0, as the others reach it."""
    port: int
    """On node 0, where the processes of all nodes find each other."""


class Turn(BaseModel):
    """The run that node 0 has begun."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str
    """The name of its folder."""
    spec: RunSpec


class Part(BaseModel):
    """How a node's part of a run goes, or went."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ended: bool = True
    """Whether none of its processes is left."""
    error: str = ""
    """Why it was given up; nothing where its processes ended by themselves."""
    refusal: str = ""
    """Why it cannot be done at all as it was asked for."""
    exit_codes: dict[int, int] = {}
    """How ranks ended that failed, as their launcher tells it."""
    stacks: str = ""
    """Where each rank stood, where it was given up."""
    failed: bool = False
    """Whether any of its processes did."""
    leaves: bool = False
    """Whether the node takes no further turn."""


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
    """Where node `rank` keeps its log and its part, within the folder of a run."""
    return folder / _FOLDER / str(rank)


class Meeting:
    """What this node tells the others about the runs of one command, and hears of them."""

    def __init__(self, node: Node, out: Path, timeout_s: float) -> None:
        """`timeout_s`: what a turn may be waited for."""
        self.node = node
        self.leads = node.rank == 0
        self.failed: list[str] = []
        """Runs of which this node's part failed."""
        self._out, self._timeout_s = out, timeout_s
        self._over_at: float | None = None

    @contextmanager
    def led(self) -> Iterator[None]:
        """Node 0 is at work inside; afterwards there is no further turn."""
        turn = self._out / _TURN
        turn.unlink(missing_ok=True)  # of an earlier command
        try:
            yield
        finally:
            turn.unlink(missing_ok=True)

    def give(self, folder: Path, spec: RunSpec) -> None:
        """Node 0 has begun the run in `folder`."""
        self._over_at = None
        shutil.rmtree(folder / _FOLDER, ignore_errors=True)
        for rank in range(1, self.node.count):
            # What is there is seen at once when it changes, on NFS too; what appears may not be.
            node_folder(folder, rank).mkdir(parents=True)
            (node_folder(folder, rank) / _PART).touch()
        with write_atomically(self._out / _TURN) as path:
            turn = Turn(run=folder.name, spec=spec)
            path.write_text(turn.model_dump_json() + "\n", encoding="utf-8")

    def next_turn(self, after: str | None) -> Turn | None:
        """Wait for the turn that follows the run named `after`; None: node 0 has ended.

        Raises `RunFailed` where it does not come in time, and `SpecError` where node 0 is at work
        but its folder is not to be seen here.
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
                        f"node 0 is at work, and not to be seen in {self._out}",
                        "pass one",
                    )
            time.sleep(_LOOK_S)
        raise RunFailed(
            f"node 0 begins a run within {self._timeout_s:g} s",
            f"no sign of it in {self._out}",
            "start it, or raise --timeout",
        )

    def tell(self, folder: Path, part: Part) -> None:
        """How this node's part of the run in `folder` goes."""
        if part.failed:
            self.failed.append(folder.name)
        # In place: see `give`. The folder is gone where node 0 was refused.
        with suppress(OSError):
            path = node_folder(folder, self.node.rank) / _PART
            path.write_text(part.model_dump_json() + "\n", encoding="utf-8")

    def is_over(self, folder: Path) -> bool:
        """Whether other nodes have given the run up so long ago that it cannot go on here."""
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
        """The parts of the other nodes by their numbers, once those that began have ended.

        None: the node has not begun. One that does not answer any more has left.
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
            time.sleep(_LOOK_S)

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
    """None where there is nothing yet, or only half of it."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
