"""The parent's side of one arm: its process, what it is granted, and how it is ended."""

from __future__ import annotations

import json
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
from harness.errors import RunFailed, SpecError
from harness.execution.parent.process import fork
from harness.results.sessions import Block

__all__ = ["ArmProcess", "Task", "Turn", "running"]

Task = Literal["turns", "memory", "allocated", "profile", "flops"]
Turn = dict[str, Any]
"""What an arm tells of a turn, see `harness.benchmark.child.turn_gate`."""
_GRACE_S = 5.0  # what an arm that was told to end is given for it
_STACK_S = 1.0  # what one that hangs is given to write down where


class ArmProcess:
    """One arm under way."""

    def __init__(
        self, arm: Arm, task: Task, log_folder: Path, timeout_s: float, where: str
    ) -> None:
        """Start it. `where`: in which part of the bench, for messages."""
        self.arm, self._where, self._timeout_s = arm, where, timeout_s
        self._log_folder = log_folder
        self.facts: dict[str, Any] = {}
        """What it told before it was ready."""
        self.startup_s = 0.0
        """Wall seconds from its start until it was ready."""
        self._started = time.perf_counter()
        self._connection, theirs = Pipe()
        given = (arm.model_dump_json(), task, str(log_folder), os.getcwd(), theirs)
        self._process = fork(bench_worker, given, arm.python)
        theirs.close()

    def ready(self) -> None:
        """Wait until it is about to take its first step."""
        while True:
            told = self._receive()
            if told["event"] == "ready":
                self.facts["parameters"] = told["parameters"]
                self.startup_s = time.perf_counter() - self._started
                return
            self.facts[told["event"]] = told

    def turn(self, steps: int) -> Turn:
        """Let it take so many steps. Raises `RunFailed` where it ends or hangs instead."""
        with suppress(BrokenPipeError):  # how it ended is told by what it left
            self._connection.send_bytes(json.dumps({"steps": steps}).encode())
        return self._receive()

    def block(self, steps: int, number: int, position: int) -> Block:
        """A turn as a block of a session."""
        turn = self.turn(steps)
        turn.pop("event"), turn.pop("meter")
        return Block(round=number, position=position, arm=self.arm.name, **turn)

    def end(self) -> None:
        """Tell it to end, and see that it has, with all that it may have started."""
        with suppress(OSError):
            self._connection.send_bytes(json.dumps({"steps": 0}).encode())
            self._process.join(_GRACE_S)
        self.kill()

    def kill(self) -> None:
        """End it at once."""
        self._signal(signal.SIGKILL)
        self._process.join(None)
        self._connection.close()

    def _receive(self) -> dict[str, Any]:
        try:
            if not self._connection.poll(self._timeout_s):
                raise self._hangs()
            told: dict[str, Any] = json.loads(self._connection.recv_bytes())
        except (EOFError, ConnectionResetError):
            self._process.join(_GRACE_S)
            raise RunFailed(
                "an arm trains until it is told to end",
                f"{self._who} ended with {self._ending()}",
                f"its log is in {self._log_folder}; what was measured before is kept",
            ) from None
        if told["event"] == "refused":
            raise SpecError(f"{self.arm.name}: {told['message']}")
        if told["event"] == "failed":
            raise RunFailed(
                "an arm trains until it is told to end",
                f"{self._who}: {told['message']}",
                f"its log is in {self._log_folder}; what was measured before is kept",
            )
        return told

    @property
    def _who(self) -> str:
        return f"arm {self.arm.name} in {self._where}"

    def _hangs(self) -> RunFailed:
        """It is asked to write its stack into its log, and ended."""
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
            except ProcessLookupError:  # it has not made its group yet
                os.kill(pid, number)

    def _ending(self) -> str:
        code = self._process.exitcode
        if code is None:
            return "its pipe closed"
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


@contextmanager
def running(
    arms: list[Arm], task: Task, logs: Path, timeout_s: float, where: str
) -> Iterator[dict[str, ArmProcess]]:
    """All arms started and ready, by name; none of them outlives the block."""
    started: dict[str, ArmProcess] = {}
    try:
        for arm in arms:
            started[arm.name] = ArmProcess(arm, task, logs / arm.name, timeout_s, where)
        for process in started.values():
            process.ready()
        yield started
        for process in started.values():
            process.end()
    finally:
        for process in started.values():
            process.kill()
