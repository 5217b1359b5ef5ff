"""Runs a command in a process group of its own, without a terminal, for a limited time."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from harness.errors import SpecError
from harness.execution.command.launch import End

__all__ = ["GroupProcess", "last_line"]


class GroupProcess:
    """A command that was started; all that it starts is ended with it."""

    def __init__(
        self, words: Sequence[str], folder: Path, variables: Mapping[str, str], log: Path
    ) -> None:
        """Start `words` in `folder`. `log` receives output and errors, and there is no input.

        Raises `SpecError` if the command cannot be started.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        self._began = time.monotonic()
        with log.open("wb") as output:
            try:
                self._process = subprocess.Popen(
                    list(words),
                    cwd=folder,
                    env=dict(variables),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise SpecError(
                    "a command must be a program that can be started", error, "check its file"
                ) from None

    @property
    def exit_code(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return self._process.poll()

    def wait(self, limit_s: float) -> End | None:
        """How it ended; None if it had not within the limit and was killed."""
        try:
            code = self._process.wait(None if limit_s == math.inf else max(0.0, limit_s))
        except subprocess.TimeoutExpired:
            self.kill()
            return None
        self.kill()
        status = -code if code < 0 else code << 8
        return End(status, (), time.monotonic() - self._began)

    def kill(self) -> None:
        """End it at once, with all processes that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def last_line(log: Path) -> str:
    """The last line that a command printed, shortened; empty if it printed nothing."""
    with log.open(encoding="utf-8", errors="replace") as file:
        lines = deque((line.strip() for line in file if line.strip()), maxlen=1)
    return lines[0][:200] if lines else ""
