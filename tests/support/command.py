"""The command line in this process, whose workers are forked from the server the tests share."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from unittest import mock

from harness.cli.main import main
from harness.execution.parent.process import fork

__all__ = ["harness", "started"]


def harness(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run `harness` with these arguments in the folder `cwd`; what it printed, and its exit code.

    For tests of what the command does. Those of signals, of environment variables and of what is
    imported need a process of their own.
    """
    words = ["harness", *map(str, arguments)]
    out, err = io.StringIO(), io.StringIO()
    before = signal.getsignal(signal.SIGTERM)
    try:
        with (
            contextlib.chdir(cwd),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            mock.patch.object(sys, "argv", words),
            mock.patch.dict("os.environ", {"COLUMNS": "200"}),
        ):
            code = main()
    finally:
        signal.signal(signal.SIGTERM, before)
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def started(*arguments: object, cwd: Path, printed: Sequence[Path]) -> ForkServerProcess:
    """`harness` in a process that is forked, as its workers are, from the server of the tests.

    `printed`: files for its output and its errors.
    """
    return fork(_run, (["harness", *map(str, arguments)], str(cwd), [*map(str, printed)]))


def _run(words: list[str], folder: str, printed: list[str]) -> None:
    def nothing() -> None:
        """The server runs, though this process did not start it."""

    server = getattr(forkserver, "_forkserver")  # noqa: B009  # unknown to mypy
    for owner in (forkserver, server):
        setattr(owner, "ensure_running", nothing)  # noqa: B010
    for number, path in enumerate(printed, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
    # Tests that run in the background would hand on that they ignore SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    sys.argv = words
    sys.exit(main())
