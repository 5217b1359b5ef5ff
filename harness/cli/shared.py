"""What the commands share: options, how settings are read, how a report is shown."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from harness.benchmark.bench import progress
from harness.errors import SpecError
from harness.execution.environments.variants import Side, package_changes, sides_of
from harness.report.formats.terminal import print_report
from harness.results.report import Report

__all__ = [
    "DigOption",
    "DirectOption",
    "EnvironmentsOption",
    "LocalizeOption",
    "MarginOption",
    "OutOption",
    "PythonOption",
    "WithOption",
    "command_line",
    "output_console",
    "settings_from",
    "show",
    "sides_from",
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
LocalizeOption = Annotated[
    bool,
    typer.Option(
        "--localize",
        help="Replay each pair that differs up to its first divergence. Name the first module "
        "whose inputs are equal and whose outputs differ.",
    ),
]
DigOption = Annotated[
    bool, typer.Option("--dig", hidden=True, help="The name of --localize before 0.2.0.")
]
PythonOption = Annotated[
    list[str] | None,
    typer.Option(
        "--python",
        metavar="PATH",
        help="Each loop with the libraries of this interpreter; repeat. The first is the "
        "reference; where one alone is named, the environment of this command is.",
    ),
]
WithOption = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        metavar="REQUIREMENT,...",
        help="The same with an environment that pip makes, such as 'transformers==4.57.*'; repeat. "
        "It is kept, and holds only what differs from this one.",
    ),
]
EnvironmentsOption = Annotated[
    Path | None,
    typer.Option(
        "--environments",
        metavar="DIR",
        help="Where such environments are kept; default: $HARNESS_CACHE, or the user's cache.",
    ),
]
DirectOption = Annotated[
    bool,
    typer.Option(
        "--direct-references",
        help="Allow --with 'NAME @ URL', whose code comes from outside the index.",
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", help="Folder for the results; default: a new one in reports/."),
]


def sides_from(
    python: list[str] | None,
    requirements: list[str] | None,
    direct: bool,
    environments: Path | None,
) -> list[Side]:
    """The sets of libraries that were asked for, with progress while environments are made."""
    console = Console(stderr=True)
    with progress(console) as say:
        sides = sides_of(python or (), requirements or (), direct, environments, say)
    for side in sides if requirements else ():
        changes = package_changes([sides[0], side]) if side is not sides[0] else ()
        what = ", ".join(f"{each.name} {each.versions[1] or 'absent'}" for each in changes)
        text = f"{side.name}: {what or 'the reference'}"
        console.print(text, soft_wrap=True, highlight=False, markup=False)
    return sides


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
