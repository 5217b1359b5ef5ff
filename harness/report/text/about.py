"""What tells a report from others of the same command: folder, case, date, duration, machine."""

from __future__ import annotations

from datetime import datetime

from harness.results.report import Report
from harness.units import quantity

__all__ = ["about"]

_NAMED = 3
"""Cases that are named; of more it gives the number."""
_COMMIT = 12
"""Characters of a commit that are shown."""


def about(report: Report) -> list[tuple[str, str]]:
    """Names and values, as far as they are known."""
    found = []
    origin = report.origin
    if origin is not None:
        found.append(("run", origin.name))
    found += _cases(report)
    if origin is None:
        return found
    found.append(("date", _date(origin.started_at)))
    found.append(("took", quantity(origin.took_s, "s")))
    if origin.host:
        found.append(("host", origin.host))
    return found + _commit(report)


def _commit(report: Report) -> list[tuple[str, str]]:
    """The commit of the user's repository, with which the first run was made."""
    repository = report.environment.get("repository")
    if not isinstance(repository, dict) or not repository.get("commit"):
        return []
    name = "commit of the reference" if report.command[1:2] == ("compare",) else "your commit"
    note = " with changes" if repository.get("changed") else ""
    return [(name, f"{str(repository['commit'])[:_COMMIT]}{note}")]


def _cases(report: Report) -> list[tuple[str, str]]:
    names = dict.fromkeys(
        [pair.case for pair in report.comparisons] + [run.case for run in report.runs]
    )
    if not names:
        return []
    if len(names) == 1:
        return [("case", next(iter(names)))]
    few = len(names) <= _NAMED
    return [("cases", ", ".join(names) if few else f"{len(names)}")]


def _date(text: str) -> str:
    try:
        return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return text
