"""What the commands share: how options are read, and how a report is shown."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from harness.benchmark.bench import progress
from harness.errors import SpecError
from harness.execution.environments.variants import LibrarySet, find_library_sets, package_changes
from harness.report.formats.terminal import Amount, print_report
from harness.results.report import Report
from harness.spec.recipe import build
from harness.spec.request import RunRequest

__all__ = [
    "EXIT_CODES",
    "View",
    "command_line",
    "library_sets_of",
    "output_console",
    "pairs_from",
    "progress_console",
    "request_from",
    "show",
    "view_of",
]

View = Amount | Literal["json"]
"""How a report is printed."""
_WIDTH = 80
EXIT_CODES = {"equivalent": 0, "different": 1, "regression": 1, "failed": 3, "no_verdict": 4}


def request_from(
    cases: Sequence[str] | None, loops: str, settings: Sequence[str] | None, **fields: Any
) -> RunRequest:
    """The request that the options of a command make; `fields`: those of `RunRequest`.

    Raises `SpecError` if they do not fit together.
    """
    named = {"cases": cases or (), "loops": names_in(loops)}
    chosen = pairs_from(settings, "--set", "KEY=VALUE", "max_steps=50")
    return build(RunRequest, {**named, "settings": chosen, **fields})


def names_in(text: str) -> list[str]:
    """The names that commas join in `text`."""
    return [name.strip() for name in text.split(",") if name.strip()]


def pairs_from(pairs: Sequence[str] | None, option: str, form: str, example: str) -> dict[str, str]:
    """Values by key, of an option that is repeated as KEY=VALUE. Raises `SpecError`."""
    found = {}
    for pair in pairs or ():
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise SpecError(f"{option} takes {form}", repr(pair), f"write {option} {example}")
        found[name.strip()] = value
    return found


def library_sets_of(request: RunRequest) -> list[LibrarySet]:
    """The sets of libraries of a request, with progress while environments are made.

    Empty if the request names none. Raises `SpecError`.
    """
    if not request.has_library_sets:
        return []
    console = progress_console()
    with progress(console) as show_progress:
        found = find_library_sets(request, show_progress)
    for one in found if request.requirements else ():
        changes = package_changes([found[0], one]) if one is not found[0] else ()
        versions = ", ".join(f"{each.name} {each.versions[1] or 'absent'}" for each in changes)
        text = f"{one.name}: {versions or 'the reference'}"
        console.print(text, soft_wrap=True, highlight=False, markup=False)
    return found


def view_of(verbose: bool, quiet: bool, as_json: bool) -> View:
    """How a command prints its report. Raises `SpecError` if the options exclude each other."""
    given = {"--verbose": verbose, "--quiet": quiet, "--json": as_json}
    names = [name for name, value in given.items() if value]
    if len(names) > 1:
        raise SpecError("a report is printed in one way", " and ".join(names), "omit one of them")
    views: dict[str, View] = {"--verbose": "details", "--quiet": "quiet", "--json": "json"}
    return views[names[0]] if names else "normal"


def show(report: Report, folder: Path, view: View = "normal") -> int:
    """Print a report and where its page is; return the exit code of its verdict."""
    console = output_console()
    if view == "json":
        console.print(report.to_json(), end="", soft_wrap=True, highlight=False, markup=False)
        return EXIT_CODES[report.verdict]
    print_report(report, console, view)
    console.print(f"Report: {folder / 'report.html'}", soft_wrap=True, highlight=False)
    return EXIT_CODES[report.verdict]


def output_console() -> Console:
    """Standard output. Without a terminal it is as wide as one usually is."""
    console = Console()
    return console if console.is_terminal else Console(width=_WIDTH)


def progress_console(view: View = "normal") -> Console:
    """Standard error, for what is shown while a command works."""
    return Console(stderr=True, quiet=view in ("quiet", "json"))


def command_line() -> list[str]:
    """The words that the user typed."""
    return ["harness", *sys.argv[1:]]
