"""The command line in this process, whose workers are forked from the server the tests share."""

from __future__ import annotations

import contextlib
import io
import signal
import subprocess
import sys
from pathlib import Path
from unittest import mock

from harness.cli.main import main

__all__ = ["harness"]


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
