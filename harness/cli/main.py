"""The command line: calls the commands, prints an error as one line, and chooses the exit code.

Exit codes: 0 what was asked holds; 1 a difference or a regression; 2 wrong use; 3 a run failed;
4 no verdict. `trace` ends with the exit code of its command.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import Annotated, Any, NoReturn

import typer

from harness.cli.accept import accept_command
from harness.cli.annotate import annotate_command
from harness.cli.bench import bench_command
from harness.cli.bisect import bisect_command
from harness.cli.check import check_command
from harness.cli.commands_after import CommandsAfterDashes
from harness.cli.compare import compare_command
from harness.cli.explain import explain_command
from harness.cli.export import export_command
from harness.cli.history import history_command
from harness.cli.index import index_command
from harness.cli.init import init_command
from harness.cli.listing import list_command
from harness.cli.pages import publish_command, report_command
from harness.cli.run import run_command
from harness.cli.trace import CommandEnded, trace_command
from harness.cli.upgrade import upgrade_command
from harness.errors import DiskFull, HarnessError, RunFailed, is_disk_full
from harness.version import __version__

__all__ = ["main"]

_INTERRUPTED = 130  # typer's exit code for a KeyboardInterrupt
_INTERRUPTED_LINE = (
    "interrupted; completed records are kept; harness run and harness bench continue with "
    "--resume, a suite without it"
)


TRAIN = "Train and compare"
DIAGNOSE = "Find out why"
SPEED = "Measure speed"
REGRESSION = "Keep it as it was"
REPORTS = "Reports"
OTHER = "Overview"
_COMMANDS: dict[str, dict[str, Callable[..., int | None]]] = {
    TRAIN: {"run": run_command, "trace": trace_command, "compare": compare_command},
    DIAGNOSE: {"explain": explain_command, "bisect": bisect_command},
    SPEED: {"bench": bench_command},
    REGRESSION: {
        "check": check_command,
        "accept": accept_command,
        "history": history_command,
        "upgrade": upgrade_command,
    },
    REPORTS: {
        "report": report_command,
        "export": export_command,
        "publish": publish_command,
        "index": index_command,
        "annotate": annotate_command,
    },
    OTHER: {"list": list_command, "init": init_command},
}
"""Commands by the panel of `harness --help` in which they stand."""

app = typer.Typer(
    name="harness",
    help="Compare training loops. Do two loops compute the same? If not, from which step on, and "
    "why? And which is faster?\n\nExample: harness run --loops plain,trainer --set max_steps=20",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
_CLASSES = {"bench": CommandsAfterDashes, "check": CommandsAfterDashes}
_CONTEXTS = {"trace": {"allow_interspersed_args": False}}
"""By command: settings of its parser. The words after a traced command belong to that command."""
for panel, commands in _COMMANDS.items():
    for name, command in commands.items():
        app.command(
            name,
            cls=_CLASSES.get(name),
            rich_help_panel=panel,
            context_settings=_CONTEXTS.get(name),
        )(command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"harness {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    """Options of `harness` itself. Its help text is that of `app`."""


def main() -> int:
    """Run the command line and return its exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = int(app(_words(), standalone_mode=False) or 0)
        if code != _INTERRUPTED:
            return code
        return _print_error(_INTERRUPTED_LINE, 3)
    except CommandEnded as ended:
        return ended.exit_code
    except HarnessError as error:
        return _print_error(str(error), 3 if isinstance(error, RunFailed) else 2)
    except Exception as error:
        if is_disk_full(error):
            return _print_error(str(DiskFull(getattr(error, "filename", None) or "the output")), 3)
        # Some versions of typer keep their class of usage errors private, others use that of click.
        if hasattr(error, "format_message"):
            return _usage_error(error)
        raise


def _words() -> list[str]:
    """The words of the command line. `--localize op` is another way to write `--localize`."""
    words = sys.argv[1:]
    if "--localize" in words[:-1]:
        place = words.index("--localize") + 1
        if words[place] == "op" and "--" not in words[:place]:
            del words[place]
    return words


def _usage_error(error: Any) -> int:
    """What is wrong with the command line, and where its help is; the help itself was printed."""
    message = error.format_message()
    if not message:
        return 2
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "harness"
    return _print_error(f"{message.rstrip('.')}: see {command} --help", 2)


def _interrupt(number: int, frame: Any) -> NoReturn:
    raise KeyboardInterrupt


def _print_error(message: str, code: int) -> int:
    print(f"harness: {' '.join(message.split())}", file=sys.stderr)  # noqa: T201  # the command line prints
    return code
