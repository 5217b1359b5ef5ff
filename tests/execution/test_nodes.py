"""Several nodes, played by several commands on this machine: one training, one report, one end."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from harness.comparison.compare import compare
from harness.errors import RunFailed, SpecError
from harness.execution import nodes
from harness.execution.nodes import Meeting, Node, Part, this_node
from harness.execution.parent.follower import follow
from harness.execution.parent.plan import plan
from harness.execution.parent.process import import_ahead
from harness.results.folders import RECORDS
from harness.results.record import RunRecord
from harness.results.report import Report
from harness.spec.request import RunRequest
from tests.faults.mutations import path_of
from tests.support import command
from tests.support.records import spec
from tests.support.small_runs import small_case, train, write_pairs

STEPS = 3


@pytest.fixture
def port() -> int:
    """One that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture
def two(tmp_path: Path, port: int) -> tuple[Meeting, Meeting]:
    """Node 0 and node 1 at one folder."""
    places = [Node(2, rank, "127.0.0.1", port) for rank in (0, 1)]
    first, second = (Meeting(node, tmp_path, timeout_s=0.6) for node in places)
    return first, second


class Nodes:
    """Commands that are each a node, and what they start."""

    def __init__(self, folder: Path, port: int) -> None:
        self.out = folder / "out"
        self._folder = folder
        data = write_pairs(folder / "data")
        self._arguments = [
            *("run", "--set", f"data={data}"),
            *("--set", f"max_steps={STEPS}", "--nnodes", "2", "--master-addr", "127.0.0.1"),
            *("--master-port", str(port), "--out", "out", "--timeout", "120"),
        ]
        self.started: dict[int, ForkServerProcess] = {}
        self.seen: set[psutil.Process] = set()
        import_ahead()
        self._before = children()  # the server

    def start(self, rank: int, *more: str) -> None:
        """The command of one node."""
        self.started[rank] = command.started(
            *(*self._arguments, "--node-rank", rank, *more),
            cwd=self._folder,
            printed=self._printed(rank),
        )

    def _printed(self, rank: int) -> list[Path]:
        return [self._folder / f"{rank}.{name}" for name in ("output", "errors")]

    def ended(self, within_s: float) -> dict[int, tuple[int | None, str, str]]:
        """Exit code, output and errors of each; an error where one takes longer."""
        deadline = time.monotonic() + within_s
        while any(process.is_alive() for process in self.started.values()):
            assert time.monotonic() < deadline
            self.seen |= children() - self._before
            time.sleep(0.05)
        found = {}
        for rank, process in self.started.items():
            output, errors = (path.read_text(encoding="utf-8") for path in self._printed(rank))
            found[rank] = (process.exitcode, output, errors)
        return found

    def left(self) -> list[psutil.Process]:
        """Processes that outlive their command by more than moments."""
        assert self.seen
        _, alive = psutil.wait_procs(self.seen, timeout=10)
        return [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def children() -> set[psutil.Process]:
    """All processes that this one started, and theirs."""
    return set(psutil.Process().children(recursive=True))


@pytest.fixture
def commands(tmp_path: Path, port: int) -> Iterator[Nodes]:
    """Two nodes; whatever happens, none of their processes is left."""
    found = Nodes(tmp_path, port)
    yield found
    for process in found.started.values():
        process.kill()
        process.join()


def appears(path: Path, within_s: float = 240) -> None:
    """Importing the libraries takes long where many do it at once."""
    deadline = time.monotonic() + within_s
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_turns_come_one_after_the_other(tmp_path: Path, two: tuple[Meeting, Meeting]) -> None:
    """Node 1 takes up what node 0 has begun, not what it has done, and ends with it."""
    first, second = two
    with first.led():
        first.begin_turn(tmp_path / "one", spec())
        turn = second.next_turn(after=None)
        assert turn is not None
        assert ("one", spec()) == (turn.run, turn.spec)
        with pytest.raises(RunFailed, match="no sign of it"):
            second.next_turn(after="one")
        first.begin_turn(tmp_path / "two", spec())
        turn = second.next_turn(after="one")
        assert turn is not None
        assert "two" == turn.run
    assert second.next_turn(after="two") is None


def test_node_0_waits_for_parts_that_began(
    tmp_path: Path, two: tuple[Meeting, Meeting], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for a node that never came; one that came and falls silent has left."""
    first, second = two
    monkeypatch.setattr(nodes, "_UNSEEN_S", 0.3)
    first.begin_turn(tmp_path, spec())
    assert {1: None} == first.parts(tmp_path)
    second.report(tmp_path, Part(ended=False))
    silent = first.parts(tmp_path)[1]
    assert silent is not None
    assert (True, "node 1 does not answer") == (silent.leaves, silent.error)
    part = Part(exit_codes={1: -9}, failed=True)
    second.report(tmp_path, part)
    assert {1: part} == first.parts(tmp_path)


def test_who_is_left_alone_goes_no_further(
    tmp_path: Path, two: tuple[Meeting, Meeting], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each side notices, after a while, that the other has given a run up."""
    first, second = two
    monkeypatch.setattr(nodes, "_ALONE_S", 0.1)

    def over(meeting: Meeting) -> bool:
        meeting.is_over(tmp_path / "one")
        time.sleep(0.2)
        return meeting.is_over(tmp_path / "one")

    first.begin_turn(tmp_path / "one", spec())
    assert not over(first)
    assert not over(second)
    second.report(tmp_path / "one", Part(exit_codes={1: 3}, failed=True))
    assert over(first)
    first.begin_turn(tmp_path / "two", spec())
    assert over(second)


def test_a_folder_that_is_not_shared_is_refused(
    tmp_path: Path, two: tuple[Meeting, Meeting], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Node 0 answers at its port, and nothing of it is to be seen; silence is another matter."""
    _, second = two
    monkeypatch.setattr(nodes, "_UNSEEN_S", 0.2)
    with pytest.raises(RunFailed, match="no sign of it"):
        second.next_turn(after=None)
    with (
        socket.create_server(("127.0.0.1", second.node.port)),
        pytest.raises(SpecError, match="file system that all nodes share"),
    ):
        second.next_turn(after=None)


def test_another_command_is_refused(
    tmp_path: Path, two: tuple[Meeting, Meeting], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Node 1 names the field; node 0 reads the same."""
    first, second = two
    case = small_case(write_pairs(tmp_path / "data"), max_steps=3)
    case = case.model_copy(update={"world_size": 2})
    nodes = {"nnodes": 2, "node_rank": 0, "master_addr": "localhost", "out": tmp_path}
    request = RunRequest(cases=(case,), loops=("plain",), timeout_s=1.0, **nodes)
    (asked,) = plan(request)
    folder = tmp_path / RECORDS / "paraphrase-plain"
    first.begin_turn(folder, asked)
    other = small_case(tmp_path / "data", max_steps=4).model_copy(update={"world_size": 2})
    monkeypatch.setattr("harness.execution.parent.follower.import_ahead", lambda: None)
    with pytest.raises(SpecError, match="max_steps is 3 on node 0 and 4 here"):
        follow(request.model_copy(update={"cases": (other,)}), second.node, Console(quiet=True))
    part = first.parts(folder)[1]
    assert part is not None
    assert part.leaves
    assert "max_steps is 3 on node 0" in part.refusal


def test_one_node_is_none(tmp_path: Path) -> None:
    """As with torchrun, a command may say that it is the first and only one."""
    assert this_node(RunRequest(node_rank=0, jobs=4)) is None


def test_a_port_that_is_taken_is_refused_on_node_0_alone(tmp_path: Path) -> None:
    """The others only call it."""
    with socket.create_server(("", 0)) as taken:
        number = taken.getsockname()[1]
        request = RunRequest(
            nnodes=2, node_rank=0, master_addr="127.0.0.1", master_port=number, out=tmp_path
        )
        with pytest.raises(SpecError, match="free port"):
            this_node(request)
        node = this_node(request.model_copy(update={"node_rank": 1}))
    assert Node(2, 1, "127.0.0.1", number) == node


@pytest.mark.slow
def test_two_nodes_train_what_one_does(tmp_path: Path, commands: Nodes) -> None:
    """Every loop, bit for bit, whichever node starts first; a fault on node 1 is found there."""
    loops = ["plain", "accelerated", "trainer"]
    fault = Path(path_of("one_ulp_on_rank_1"))
    asked = ("--loops", ",".join([*loops, str(fault)]))
    commands.start(1, *asked)
    time.sleep(3)
    commands.start(0, *asked)
    ended = commands.ended(within_s=400)
    assert (0, 1) == (ended[1][0], ended[0][0]), ended
    assert 1 == len(ended[1][1].splitlines())
    assert "node 0 writes the report to out" in ended[1][1]
    assert [] == commands.left()

    case = small_case(tmp_path / "data", max_steps=STEPS).model_copy(update={"world_size": 2})
    alone = train(case, loops, tmp_path / "alone")
    records = commands.out / "records"
    for loop in loops:
        record = RunRecord(records / f"paraphrase-{loop}")
        assert (2, 1) == (record.run_spec.nnodes, alone[loop].run_spec.nnodes)
        found = compare(alone[loop], record, ("one node", "two nodes"))
        assert ("identical", STEPS, ()) == (found.outcome, found.steps, found.doubts), found
    spoilt = RunRecord(records / f"paraphrase-{fault.stem}")
    first = compare(alone["plain"], spoilt, ("one node", "two nodes")).first_divergence
    assert first is not None
    assert (3, "weights", 1, "classifier.bias") == (
        first.step, first.stage, first.rank, first.tensor,
    )  # fmt: skip
    pages = {"report.html", "report.json", "report.md", "report.csv", "junit.xml", "plots"}
    assert pages | {"records"} == {path.name for path in commands.out.iterdir()}


@pytest.mark.slow
def test_a_death_on_one_node_ends_both(commands: Nodes) -> None:
    """Soon, with exit code 3; node 0 says which rank it was; what else was asked goes on."""
    asked = ("--loops", f"{path_of('rank_1_killed')},plain")
    for rank in (0, 1):
        commands.start(rank, *asked)
    appears(commands.out / "records" / "paraphrase-rank_1_killed" / "ranks" / "1")
    ended = commands.ended(within_s=90)  # 4 s where nothing else asks for the cores
    assert (3, 3) == (ended[0][0], ended[1][0]), ended
    assert 1 == len(ended[1][2].splitlines()), ended[1]
    assert "paraphrase-rank_1_killed" in ended[1][2]
    statuses = {run.loop: run.status for run in Report.read(commands.out).runs}
    assert {"rank_1_killed": "failed", "plain": "completed"} == statuses
    killed = RunRecord(commands.out / "records" / "paraphrase-rank_1_killed").header
    assert "rank 1 of 2 ended with signal SIGKILL" == killed.error
    assert "launcher of node 1" in (killed.traceback or "")
    assert [] == commands.left()


@pytest.mark.slow
def test_ctrl_c_on_node_0_ends_both(commands: Nodes) -> None:
    """The one that was not interrupted is not left waiting for a turn that never comes."""
    for rank in (0, 1):
        commands.start(rank, "--loops", "plain,plain", "--set", "max_steps=5000")
    appears(commands.out / "records" / "paraphrase-plain" / "ranks" / "1" / "tensors.parquet")
    commands.started[0].terminate()
    ended = commands.ended(within_s=60)
    assert (3, 3) == (ended[0][0], ended[1][0]), ended
    assert "interrupted" in ended[0][2]
    header = RunRecord(commands.out / "records" / "paraphrase-plain").header
    assert "interrupted" == header.status
    assert [] == commands.left()
