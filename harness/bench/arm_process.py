"""The parent's side of one arm: its process, what it is granted, and how it is ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal, Protocol

from harness import start
from harness.bench.arms import Arm
from harness.bench.blocks import Block
from harness.errors import RunFailed, SpecError
from harness.workers import fork

__all__ = ["ArmProcess", "Task", "Turn", "running"]

Task = Literal["turns", "memory", "allocated", "profile", "flops"]
Turn = dict[str, Any]
"""What an arm tells of a turn, see `harness.bench.gate`."""
_GRACE_S = 5.0  # what an arm that was told to end is given for it
_STACK_S = 1.0  # what one that hangs is given to write down where


class _Process(Protocol):
    """What forked and spawned processes have in common."""

    @property
    def pid(self) -> int | None: ...


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
        self._process = _start(arm, task, log_folder, theirs)
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
            self._wait(_GRACE_S)
        self.kill()

    def kill(self) -> None:
        """End it at once."""
        self._signal(signal.SIGKILL)
        self._wait(None)
        self._connection.close()

    def _receive(self) -> dict[str, Any]:
        try:
            if not self._connection.poll(self._timeout_s):
                raise self._hangs()
            told: dict[str, Any] = json.loads(self._connection.recv_bytes())
        except (EOFError, ConnectionResetError):
            self._wait(_GRACE_S)
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

    def _wait(self, timeout_s: float | None) -> None:
        if isinstance(self._process, subprocess.Popen):
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout_s)
        else:
            self._process.join(timeout_s)  # type: ignore[attr-defined]  # the other kind

    def _ending(self) -> str:
        process: Any = self._process
        code = process.returncode if hasattr(process, "returncode") else process.exitcode
        if code is None:
            return "its pipe closed"
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _start(arm: Arm, task: Task, log_folder: Path, theirs: Connection) -> _Process:
    arm_json = arm.model_dump_json()
    if arm.python is None:
        return fork(start.bench_worker, (arm_json, task, str(log_folder), os.getcwd(), theirs))
    package = str(Path(start.__file__).parents[1])
    descriptor = theirs.fileno()
    command = [
        arm.python, "-m", "harness.bench.child",
        str(log_folder), os.getcwd(), str(descriptor), task, arm_json,
    ]  # fmt: skip
    paths = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(
        command, pass_fds=(descriptor,), env={**os.environ, "PYTHONPATH": paths}
    )


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
