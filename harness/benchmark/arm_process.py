"""One arm in the parent process: starting it, granting turns, and ending it."""

from __future__ import annotations

import json
import math
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import Pipe
from pathlib import Path
from typing import Any, Literal

from harness.benchmark.arms import Arm
from harness.benchmark.entry import bench_worker
from harness.benchmark.session import OutOfTime, Start, Turn
from harness.errors import RunFailed, SpecError
from harness.execution.parent.process import fork
from harness.results.sessions import Block

__all__ = ["ArmProcess", "Task", "running", "starting"]

Task = Literal["turns", "memory", "allocated", "profile", "flops"]
_GRACE_S = 5.0  # time for an arm to end after it was asked to
_STACK_S = 1.0  # time for a hanging arm to write its stack


class ArmProcess:
    """One running arm."""

    def __init__(
        self,
        arm: Arm,
        task: Task,
        log_folder: Path,
        timeout_s: float,
        where: str,
        deadline: float = math.inf,
    ) -> None:
        """Start the process. `where`: the phase of the bench, for messages."""
        self.arm, self._where, self._timeout_s = arm, where, timeout_s
        self._deadline = deadline
        self._log_folder = log_folder
        self.facts: dict[str, Any] = {}
        """Messages of the arm before it was ready."""
        self.startup_s = 0.0
        """Wall seconds from the start of the process until it was ready."""
        self._started = time.perf_counter()
        self._connection, theirs = Pipe()
        arguments = (arm.model_dump_json(), task, str(log_folder), os.getcwd(), theirs)
        self._process = fork(bench_worker, arguments, arm.python)
        theirs.close()

    def ready(self) -> None:
        """Wait until the arm is about to take its first step."""
        while True:
            message = self._receive()
            if message["event"] == "ready":
                self.facts["parameters"] = message["parameters"]
                self.startup_s = time.perf_counter() - self._started
                return
            self.facts[message["event"]] = message

    def first_step_s(self) -> float:
        """See `Participant`."""
        return float(self.turn(1)["restart_s"])

    def turn(self, steps: int) -> Turn:
        """Let the arm take `steps` steps. Raises `RunFailed` if it ends or hangs instead."""
        with suppress(BrokenPipeError):  # `_receive` reports how it ended
            self._connection.send_bytes(json.dumps({"steps": steps}).encode())
        return self._receive()

    def block(self, steps: int, number: int, position: int) -> Block:
        """Take a turn; the result is a block of a session."""
        turn = self.turn(steps)
        turn.pop("event"), turn.pop("meter")
        return Block(round=number, position=position, arm=self.arm.name, **turn)

    def end(self) -> None:
        """Ask the arm to end, then end its whole process group."""
        with suppress(OSError):
            self._connection.send_bytes(json.dumps({"steps": 0}).encode())
            self._process.join(_GRACE_S)
        self.kill()

    def kill(self) -> None:
        """End the process at once."""
        self._signal(signal.SIGKILL)
        self._process.join(None)
        self._connection.close()

    def _receive(self) -> dict[str, Any]:
        try:
            left_s = max(0.0, self._deadline - time.monotonic())
            if not self._connection.poll(min(self._timeout_s, left_s)):
                raise self._hangs() if left_s > self._timeout_s else OutOfTime
            message: dict[str, Any] = json.loads(self._connection.recv_bytes())
        except (EOFError, ConnectionResetError):
            self._process.join(_GRACE_S)
            raise RunFailed(
                "an arm trains until its parent ends it",
                f"{self._who} ended with {self._ending()}",
                f"its log is in {self._log_folder}; what was measured before is kept",
            ) from None
        if message["event"] == "refused":
            raise SpecError(f"{self.arm.name}: {message['message']}")
        if message["event"] == "failed":
            raise RunFailed(
                "an arm trains until its parent ends it",
                f"{self._who}: {message['message']}",
                f"its log is in {self._log_folder}; what was measured before is kept",
            )
        return message

    @property
    def _who(self) -> str:
        return f"arm {self.arm.name} in {self._where}"

    def _hangs(self) -> RunFailed:
        """Make the arm write its stack into its log, and end it."""
        self._signal(signal.SIGUSR1)
        time.sleep(_STACK_S)
        self.kill()
        return RunFailed(
            f"an arm takes its turn within {self._timeout_s:g} s",
            f"{self._who} hung and was ended",
            f"its stack is in {self._log_folder}; what was measured before is kept",
        )

    def _signal(self, number: signal.Signals) -> None:
        pid = self._process.pid
        assert pid is not None
        with suppress(ProcessLookupError):
            try:
                os.killpg(pid, number)
            except ProcessLookupError:  # the process group does not exist yet
                os.kill(pid, number)

    def _ending(self) -> str:
        code = self._process.exitcode
        if code is None:
            return "its pipe closed"
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def starting(arms: list[Arm], logs: Path, timeout_s: float) -> Start:
    """What starts the arms of a session."""
    return lambda where, deadline: running(arms, "turns", logs, timeout_s, where, deadline)


@contextmanager
def running(
    arms: list[Arm],
    task: Task,
    logs: Path,
    timeout_s: float,
    where: str,
    deadline: float = math.inf,
) -> Iterator[dict[str, ArmProcess]]:
    """All arms by name, started and ready. All of them are ended on exit.

    Raises `OutOfTime` if they start past the deadline.
    """
    started: dict[str, ArmProcess] = {}
    try:
        for arm in arms:
            started[arm.name] = ArmProcess(arm, task, logs / arm.name, timeout_s, where, deadline)
        for process in started.values():
            process.ready()
        yield started
        for process in started.values():
            process.end()
    finally:
        for process in started.values():
            process.kill()
