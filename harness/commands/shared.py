"""What the commands share: options, how settings are read, how a report is shown."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from harness.errors import SpecError
from harness.report.model import Report
from harness.report.terminal import print_report

__all__ = [
    "DigOption",
    "MarginOption",
    "OutOption",
    "command_line",
    "output_console",
    "settings_from",
    "show",
]

EXIT_CODES = {"equivalent": 0, "different": 1, "regression": 1, "failed": 3, "no_verdict": 4}

MarginOption = Annotated[
    list[str] | None,
    typer.Option(
        "--margin",
        metavar="METRIC=VALUE",
        help="With several seeds: the difference of a final metric that does not matter, such as "
        "accuracy=0.02 or perplexity=5%; repeat.",
    ),
]
DigOption = Annotated[
    bool,
    typer.Option(
        "--dig",
        help="Replay each pair that parts up to there, and name the first module that takes the "
        "same and gives something else.",
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", help="Folder for the results; default: a new one in reports/."),
]


def show(report: Report, folder: Path) -> int:
    console = output_console()
    print_report(report, console)
    console.print(f"Report: {folder / 'report.html'}", soft_wrap=True, highlight=False)
    return EXIT_CODES[report.verdict]


def output_console() -> Console:
    """Standard output; a log that has no width of its own gets one that tables fit into."""
    console = Console()
    return console if console.is_terminal else Console(width=120)


def command_line() -> list[str]:
    return ["harness", *sys.argv[1:]]


def settings_from(pairs: list[str] | None) -> dict[str, str]:
    found = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise SpecError("--set takes KEY=VALUE", repr(pair), "write for example max_steps=50")
        found[name.strip()] = value
    return found
