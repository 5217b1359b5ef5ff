"""Tells a signal for a whole process group from one for this process alone.

Whoever sends a signal to the group of a traced command, as `timeout` and most schedulers do, sends
it to the command too. A small process in the same group shows it: it blocks these signals, so
those that it was sent stay pending, where the system lists them.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

__all__ = ["GroupWitness"]


class GroupWitness:
    """A process that waits, in the process group of this one."""

    def __init__(self, signals: Collection[signal.Signals]) -> None:
        self._signals = signals
        self._process = 0
        self._input = -1
        self._start()

    def saw(self, number: int) -> bool:
        """Whether the group was sent this signal since the last one that was seen."""
        if not self._process or not _pending(self._process) >> (number - 1) & 1:
            return False
        self.close()
        self._start()  # a pending signal cannot be taken back
        return True

    def close(self) -> None:
        """End the process."""
        if self._process:
            os.close(self._input)
            with suppress(ProcessLookupError):
                os.kill(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)
            self._process = 0

    def _start(self) -> None:
        program = shutil.which("cat")
        if program is None or not Path("/proc/self/status").is_file():
            return
        # It ends when this process does, however that happens: then its input ends.
        output, self._input = os.pipe()
        silent = os.open(os.devnull, os.O_WRONLY)
        self._process = os.posix_spawn(
            program,
            [program],
            {},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, output, 0),
                (os.POSIX_SPAWN_DUP2, silent, 1),
                (os.POSIX_SPAWN_DUP2, silent, 2),
            ],
            setsigmask=self._signals,
            setsigdef=self._signals,  # a signal that is ignored would not stay
        )
        os.close(output)
        os.close(silent)


def _pending(process: int) -> int:
    """The signals that a process was sent and has not taken, as a mask."""
    try:
        text = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    except OSError:
        return 0
    lines = (line.split() for line in text.splitlines())
    return next((int(words[1], 16) for words in lines if words[0] == "ShdPnd:"), 0)
