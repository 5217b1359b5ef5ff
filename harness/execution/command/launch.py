"""Starts a command as a shell would, passes signals on, and waits for its end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.execution.command.group import GroupWitness

__all__ = ["End", "run"]

_PASSED_ON = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
)
_INTERRUPTING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_FROM_KERNEL = 0x80  # `si_code` of a signal that a terminal sends to each process of its group
_POLL_S = 0.2
_GROUP_S = 0.01
"""A signal for a group reaches its processes one after the other, within less than this."""


class End:
    """How a command ended."""

    def __init__(self, status: int, signals: Iterable[int], wall_s: float) -> None:
        """`status`: as `waitpid` returns it. `signals`: those that asked it to end."""
        self.signals = tuple(signals)
        self.wall_s = wall_s
        self.killed_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        """The signal that it died of."""
        self.exit_code = os.waitstatus_to_exitcode(status)
        """Its exit code; 128 + N if it died of signal N, as a shell reports it."""
        if self.killed_by is not None:
            self.exit_code = 128 + self.killed_by

    @property
    def interrupted(self) -> bool:
        """Whether somebody asked it to end, or a signal ended it."""
        return bool(self.signals) or self.killed_by in _INTERRUPTING


def run(
    program: str, words: Sequence[str], environment: Mapping[str, str], log: Path | None = None
) -> End:
    """Run `words` with this process's input, output, errors, other open files and terminal.

    `program`: the path of the file that is executed. `log`: receives output and errors instead, and
    there is no input. A signal for the whole process group, such as that of a terminal, reaches the
    command by itself. Every other one is passed on.
    """
    started = time.monotonic()
    sent: list[int] = []
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*_PASSED_ON, signal.SIGCHLD})
    witness = GroupWitness(_PASSED_ON)
    try:
        command = os.posix_spawn(
            program,
            list(words),
            dict(environment),
            file_actions=[] if log is None else _into(log),
            setsigmask=before,
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],  # Python ignores them
        )
        while True:
            ended, status = os.waitpid(command, os.WNOHANG)
            if ended:
                return End(status, sent, time.monotonic() - started)
            try:
                _pass_on(command, sent, witness)
            except KeyboardInterrupt:  # SIGINT or SIGTERM reached another thread
                sent.append(signal.SIGINT)
                _send(command, signal.SIGINT)
    finally:
        witness.close()
        while signal.sigtimedwait(_PASSED_ON, 0) is not None:
            pass  # it came for a command that has ended
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _into(log: Path) -> list[tuple[Any, ...]]:
    """What connects a command with a log, and with no input."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    return [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]


def _pass_on(command: int, sent: list[int], witness: GroupWitness) -> None:
    """Wait for a signal, or a short time; pass it on to the command."""
    got = signal.sigtimedwait({*_PASSED_ON, signal.SIGCHLD}, _POLL_S)
    if got is None or got.si_signo == signal.SIGCHLD:
        return
    if got.si_signo in _INTERRUPTING:
        sent.append(got.si_signo)
    time.sleep(_GROUP_S)
    if not witness.saw(got.si_signo) and got.si_code != _FROM_KERNEL:
        _send(command, got.si_signo)


def _send(command: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(command, number)
