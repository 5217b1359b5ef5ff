"""What a report states of itself, as columns, so that tables of many reports can be stacked."""

from __future__ import annotations

from typing import Any

from harness.results.header import commit_of
from harness.results.report import Report

__all__ = ["COLUMNS", "report_columns", "seed_of"]

_LIBRARIES = ("torch", "transformers", "accelerate")
COLUMNS = ("run", "date", "commit", "harness", "python", *_LIBRARIES)
"""The columns, the same for every report."""


def report_columns(report: Report) -> dict[str, str | None]:
    """Folder and start of the report; commit and versions of its first run. None: not known."""
    environment, origin = report.environment, report.origin
    versions = environment.get("versions")
    known = versions if isinstance(versions, dict) else {}
    values: dict[str, Any] = {
        "run": None if origin is None else origin.name,
        "date": None if origin is None else origin.started_at,
        "commit": commit_of(environment),
        "harness": environment.get("harness"),
        "python": environment.get("python"),
        **{name: known.get(name) for name in _LIBRARIES},
    }
    return {name: None if value is None else str(value) for name, value in values.items()}


def seed_of(report: Report, case: str) -> int | None:
    """The seed of a case; None if it is not known or there are several."""
    seed = report.recipes.get(case, {}).get("seed")
    return seed if isinstance(seed, int) and not isinstance(seed, bool) else None
