"""The command line: calls the rooms below, complains in a line, and picks the exit code.

Exit codes: 0 what was asked holds; 1 a difference or a regression; 2 wrong use; 3 a run failed;
4 no verdict.
"""

from __future__ import annotations

import signal
import sys
from typing import Any, NoReturn

import typer

from harness.cli.accept import accept_command
from harness.cli.annotate import annotate_command
from harness.cli.bench import bench_command
from harness.cli.bisect import bisect_command
from harness.cli.check import check_command
from harness.cli.compare import compare_command
from harness.cli.explain import explain_command
from harness.cli.history import history_command
from harness.cli.index import index_command
from harness.cli.listing import list_command
from harness.cli.pages import publish_command, report_command
from harness.cli.run import run_command
from harness.cli.upgrade import upgrade_command
from harness.errors import HarnessError, RunFailed

__all__ = ["main"]

_INTERRUPTED = 130  # what typer makes of a KeyboardInterrupt


app = typer.Typer(
    name="harness",
    help="Is this training loop the same as that one? If not, at which step and why?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("list")(list_command)
app.command("run")(run_command)
app.command("bench")(bench_command)
app.command("upgrade")(upgrade_command)
app.command("bisect")(bisect_command)
app.command("compare")(compare_command)
app.command("explain")(explain_command)
app.command("accept")(accept_command)
app.command("check")(check_command)
app.command("history")(history_command)
app.command("report")(report_command)
app.command("publish")(publish_command)
app.command("index")(index_command)
app.command("annotate")(annotate_command)


def main() -> int:
    """Run the command line and return its exit code. Nothing below it prints or exits."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = int(app(standalone_mode=False) or 0)
        if code != _INTERRUPTED:
            return code
        return _complain("interrupted; records that were complete are kept", 3)
    except HarnessError as error:
        return _complain(str(error), 3 if isinstance(error, RunFailed) else 2)
    except Exception as error:
        # The class of wrong-use errors is private to typer, or to click, by version.
        if hasattr(error, "format_message"):
            return _complain(error.format_message(), 2)
        raise


def _interrupt(number: int, frame: Any) -> NoReturn:
    raise KeyboardInterrupt


def _complain(message: str, code: int) -> int:
    print(f"harness: {' '.join(message.split())}", file=sys.stderr)  # noqa: T201  # the door may
    return code
