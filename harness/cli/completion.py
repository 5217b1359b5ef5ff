"""What the shell completes: cases, loops, suites, devices and recipe fields. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from harness.report.export import EXPORTS
from harness.spec import registry
from harness.spec.aliases import ALIASES
from harness.spec.recipe import CONVENTIONS, DETAILS, DEVICES, LAUNCHERS, Recipe
from harness.spec.suites import SUITES

__all__ = [
    "complete_cases",
    "complete_conventions",
    "complete_details",
    "complete_device",
    "complete_devices",
    "complete_exports",
    "complete_launchers",
    "complete_loops",
    "complete_settings",
    "complete_suites",
]


def complete_cases(incomplete: str) -> list[str]:
    """Built-in cases, case files and tasks below the current folder."""
    files = [*_files(incomplete, ".toml"), *_files(incomplete, ".py")]
    return [*_starting(registry.cases(), incomplete), *dict.fromkeys(files)]


def complete_loops(incomplete: str) -> list[str]:
    """The last name of a list that commas join: built-in loops, and Python files."""
    before, comma, last = incomplete.rpartition(",")
    names = [*_starting(registry.loops(), last), *_files(last, ".py")]
    return [f"{before}{comma}{name}" for name in names]


def complete_devices(incomplete: str) -> list[str]:
    """The last name of a list that commas join."""
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in _starting(DEVICES, last)]


def complete_device(incomplete: str) -> list[str]:
    """One device."""
    return _starting(DEVICES, incomplete)


def complete_suites(incomplete: str) -> list[str]:
    """Named sets of cases."""
    return _starting(SUITES, incomplete)


def complete_conventions(incomplete: str) -> list[str]:
    """`matched` or `native`."""
    return _starting(CONVENTIONS, incomplete)


def complete_details(incomplete: str) -> list[str]:
    """How much a trace records."""
    return _starting(DETAILS, incomplete)


def complete_launchers(incomplete: str) -> list[str]:
    """What starts training processes."""
    return _starting(LAUNCHERS, incomplete)


def complete_settings(incomplete: str) -> list[str]:
    """Recipe fields and their aliases, up to the equals sign."""
    return _starting([f"{name}=" for name in (*Recipe.model_fields, *ALIASES)], incomplete)


def complete_exports(incomplete: str) -> list[str]:
    """Formats of an export."""
    return _starting(EXPORTS, incomplete)


def _starting(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _files(incomplete: str, suffix: str) -> list[str]:
    """Folders, and files with that suffix, once the user has begun to type a path."""
    if not incomplete:
        return []
    folder = Path(incomplete if incomplete.endswith("/") else Path(incomplete).parent)
    try:
        paths = sorted(folder.iterdir())
    except OSError:
        return []
    found = [f"{path}/" if path.is_dir() else str(path) for path in paths]
    prefix = "./" if incomplete.startswith("./") else ""
    named = [prefix + name for name in found if name.endswith((suffix, "/"))]
    return [name for name in named if name.startswith(incomplete)]
