"""One command of a bench in the parent process: starting it, granting turns, and ending it.

Its processes connect to a socket of their own parent once they make an optimizer step; see
`harness.execution.child.step_gate`.
"""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from harness.benchmark.commands import CommandArm
from harness.benchmark.session import WARM_UP_STEPS, OutOfTime, Start, TrainingEnded, Turn
from harness.errors import RunFailed, SpecError
from harness.execution.command.bounded import GroupProcess
from harness.execution.command.trace import attached, notes_of
from harness.execution.command.unseen import what_was_unseen
from harness.results.sessions import Block
from harness.spec.command import CommandSpec

__all__ = ["Known", "starting_commands"]

_POLL_S = 0.05
_EXIT_S = 5.0
"""Time for a command to end after its training has, before its exit code counts for nothing."""


@dataclass
class Known:
    """What is known about the commands from the sessions so far, by arm."""

    ended_after: dict[str, int] = field(default_factory=dict)
    """Steps of a whole run, of those that ended."""
    longer_than: dict[str, int] = field(default_factory=dict)
    """Steps that others made and did not end, once one had ended."""
    waited_s: dict[str, float] = field(default_factory=dict)
    """Seconds in which one made no step at all, at the end of the budget."""
    loader_workers: set[str] = field(default_factory=set)
    """Those with processes that may prepare batches while they wait."""
    parameters: dict[str, int] = field(default_factory=dict)
    device: str = "cpu"

    @property
    def most_steps(self) -> int | None:
        """Steps that each of them makes; None if no run has ended."""
        return min(self.ended_after.values(), default=None)


class GatedCommand:
    """One running command."""

    def __init__(
        self, arm: CommandArm, log: Path, timeout_s: float, deadline: float, known: Known
    ) -> None:
        """Start it. Raises `SpecError` if that is impossible."""
        self._arm, self._log, self._known = arm, log, known
        self._timeout_s, self._deadline = timeout_s, deadline
        self._began = time.monotonic()
        self._connection: Connection | None = None
        self.made = 0
        """Its steps in turns that ended."""
        # The path of a socket is limited to about 100 characters.
        self._work = Path(tempfile.mkdtemp(prefix="harness-"))
        self._door = socket.socket(socket.AF_UNIX)
        address = str(self._work / "gate")
        self._door.bind(address)
        self._door.listen()
        spec = CommandSpec(name=arm.name, command=arm.words, folder=str(arm.folder))
        try:
            variables = attached(spec, self._work / "trace", arm.variables, address)
            self._process = GroupProcess(arm.words, arm.folder, variables, log)
        except BaseException:
            self._leave()
            raise

    def ready(self) -> None:
        """Wait until it has made its first step."""
        until = min(self._deadline, time.monotonic() + self._timeout_s)
        while self._connection is None:
            self._connection = self._connected(_POLL_S)
            if self._connection is None and self._process.exit_code is not None:
                raise self._without_a_step()
            if self._connection is None and time.monotonic() > until:
                self._known.waited_s[self._arm.name] = time.monotonic() - self._began
                if until == self._deadline:
                    raise OutOfTime
                raise self._hangs("made no optimizer step")
        facts = self._receive()
        self._known.waited_s.pop(self._arm.name, None)
        if facts["world_size"] > 1:
            raise self._several(facts["world_size"])
        self._known.parameters[self._arm.name] = facts["parameters"]
        self._known.device = facts["device"]
        self.made = 1

    def first_step_s(self) -> None:
        """See `Participant`. Its first step is over when it connects."""

    def turn(self, steps: int) -> Turn:
        """See `Participant`."""
        assert self._connection is not None
        self._check_alone()
        with suppress(OSError):  # `_receive` reports how it ended
            self._connection.send_bytes(json.dumps({"steps": steps}).encode())
        turn = self._receive()
        self.made += steps
        if turn.pop("workers"):
            self._known.loader_workers.add(self._arm.name)
        return turn

    def block(self, steps: int, number: int, position: int) -> Block:
        """See `Participant`."""
        turn = self.turn(steps)
        turn.pop("event")
        return Block(round=number, position=position, arm=self._arm.name, **turn)

    def kill(self) -> None:
        """End it, with all that it started."""
        self._process.kill()
        self._leave()

    def _leave(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._door.close()
        shutil.rmtree(self._work, ignore_errors=True)

    def _connected(self, patience_s: float) -> Connection | None:
        """A process that trains, if one connects."""
        self._door.settimeout(patience_s)
        try:
            return Connection(self._door.accept()[0].detach())
        except (TimeoutError, BlockingIOError):
            return None

    def _check_alone(self) -> None:
        """Raise `SpecError` if a second process of the command trains."""
        other = self._connected(0)
        if other is not None:
            other.close()
            raise self._several(2)

    def _receive(self) -> dict[str, Any]:
        """The next message. Raises as the methods of `Participant`."""
        assert self._connection is not None
        until = min(self._deadline, time.monotonic() + self._timeout_s)
        try:
            while not self._connection.poll(_POLL_S):
                self._check_alone()
                if self._process.exit_code is not None and not self._connection.poll(0):
                    raise EOFError
                if time.monotonic() > until:
                    raise OutOfTime if until == self._deadline else self._hangs("took no turn")
            message: dict[str, Any] = json.loads(self._connection.recv_bytes())
        except (EOFError, ConnectionResetError):
            message = {"event": "ended", "made": self.made}
        if message["event"] != "ended":
            return message
        until = time.monotonic() + _EXIT_S
        while self._process.exit_code is None and time.monotonic() < until:
            time.sleep(_POLL_S)
        if self._process.exit_code:
            raise RunFailed(
                "a command of a bench trains without an error",
                f"{self._arm.name} ended with exit code {self._process.exit_code}",
                f"its output is in {self._log}",
            )
        self._known.ended_after[self._arm.name] = message["made"]
        raise TrainingEnded

    def _without_a_step(self) -> Exception:
        code = self._process.exit_code or 0
        why = what_was_unseen(self._arm.words, notes_of(self._work / "trace"), False, code)
        if code:
            return RunFailed(
                "a command of a bench trains without an error",
                f"{self._arm.name}: {' '.join(why)}",
                f"its output is in {self._log}",
            )
        return SpecError(
            "a command of a bench waits for its turn at the steps of an optimizer of torch.optim",
            f"{self._arm.name} made none. {' '.join(why)}",
            "time a part of it that trains, or compare values with harness trace",
        )

    def _several(self, count: int) -> SpecError:
        return SpecError(
            "a bench of commands times commands that train in one process",
            f"{self._arm.name} trains in {count} or more",
            "leave the launcher out, or compare values with harness trace",
        )

    def _hangs(self, what: str) -> RunFailed:
        return RunFailed(
            f"a command of a bench answers within {self._timeout_s:g} s",
            f"{self._arm.name} {what}",
            f"its output is in {self._log}; raise --timeout if it needs longer",
        )


def starting_commands(
    arms: Sequence[CommandArm], logs: Path, timeout_s: float, known: Known
) -> Start:
    """What starts the commands of a session. What is seen of them is added to `known`."""

    @contextmanager
    def start(where: str, deadline: float) -> Iterator[Mapping[str, GatedCommand]]:
        started: dict[str, GatedCommand] = {}
        try:
            for arm in arms:
                log = logs / where.replace(" ", "-") / f"{arm.name}.txt"
                started[arm.name] = GatedCommand(arm, log, timeout_s, deadline, known)
            for process in started.values():
                process.ready()
            try:
                yield started
            except TrainingEnded:
                _find_lengths(started, known)
                raise
        finally:
            for process in started.values():
                process.kill()

    return start


def _find_lengths(started: Mapping[str, GatedCommand], known: Known) -> None:
    """Let the others make as many steps as the one that ended, to see whether they end too.

    Raises `SpecError` if there are too few steps for a bench.
    """
    length = known.most_steps
    assert length is not None
    for name, process in started.items():
        if name not in known.ended_after and name not in known.longer_than:
            with suppress(TrainingEnded, OutOfTime):
                if process.made <= length:
                    process.turn(length - process.made + 1)
                known.longer_than[name] = length
    least = 1 + WARM_UP_STEPS + 2 * len(started)
    if known.most_steps is not None and known.most_steps < least:
        name = min(known.ended_after, key=lambda each: known.ended_after[each])
        raise SpecError(
            f"a bench of {len(started) - 1} commands needs {least} steps of each",
            f"{name} makes {known.most_steps}",
            "let it train longer",
        )
