"""Reports -> the comment on a pull request: Markdown of at most `LINES` lines.

The verdict comes first, then a table with one line for each answer, then folded details. It links
to nothing and reads nothing.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from harness.report.escape import markdown_cell
from harness.report.text.answers import Answer, answers
from harness.report.text.causes import reasons
from harness.report.text.speeds import how
from harness.report.text.summary import NOTHING_COMPARED, without_out
from harness.report.text.verdict import headline, tone
from harness.results.header import commit_of
from harness.results.report import Report
from harness.results.upgrade import UpgradeResult

__all__ = ["LINES", "comment"]

LINES = 59
"""Lines of a comment at most; whoever posts it adds one by which it is found again."""
_AROUND = 11
"""Lines of a comment besides the answers and the details."""
_LONGEST = 400
"""Characters of one answer or detail at most."""
_MARKS = {"good": "✅", "bad": "❌", "unsure": "❔"}


def comment(reports: Sequence[Report], overall: Report) -> str:
    """The comment on `reports`, of which `overall` has the worst verdict."""
    mark = _MARKS[tone(overall.verdict)]
    lines = [f"### {mark} {markdown_cell(headline(overall))}", ""]
    # Of two commits that are compared, each answer names both.
    found = [commit_of(report.environment) for report in reports if report.upgrade is None]
    commits = [commit for commit in dict.fromkeys(found) if commit]
    if commits:
        lines += [f"Training loops at commit {', '.join(map(_code, commits))}.", ""]
    rows = [row for report in reports for row in _rows(report, len(reports) > 1)]
    details = [detail for report in reports for detail in _details(report)]
    left = LINES - _AROUND
    lines += ["| | result |", "|---|---|", *_at_most(rows, max(left - len(details), left // 2))]
    shown = _at_most(details, left - min(len(rows), left // 2))
    lines += ["", "<details><summary>Details</summary>", "", *shown, "", "</details>"]
    return "\n".join(lines) + "\n"


def _rows(report: Report, several: bool) -> Iterator[str]:
    """A row for each answer; of several reports, each has a heading."""
    if several:
        words = " ".join(report.command[:2]) or "report"
        yield f"| {_MARKS[tone(report.verdict)]} | **{_cut(words)}**: {_cut(headline(report))} |"
    if report.upgrade is not None:
        yield from _changes(report.upgrade)
        return
    for one in answers(report) or (Answer(NOTHING_COMPARED),):
        mark = _MARKS[tone(one.outcome)] if one.outcome else ""
        yield f"| {mark} | {_cut(one.text)} |"


def _changes(upgrade: UpgradeResult) -> Iterator[str]:
    """What is compared, and a row for each change and each thing that is not known."""
    reference, *others = upgrade.sides
    yield f"| | From {_cut(reference)} to {_cut('; '.join(others))} |"
    yield from (f"| {_MARKS['bad']} | {_cut(sentence)} |" for sentence in upgrade.changed)
    for sentence in upgrade.unknown:
        yield f"| {_MARKS['unsure']} | {_cut(f'not compared: {sentence}')} |"
    if same := len(upgrade.unchanged):
        what = "compared property did" if same == 1 else "compared properties did"
        yield f"| {_MARKS['good']} | {same} {what} not change |"


def _certainty(report: Report) -> Iterator[str]:
    """What belongs to the answers, such as the certainty of a speed and lines of code."""
    for one in answers(report):
        about = one.text.partition(",")[0]
        yield from (f"- {_cut(f'{about}: {line.strip()}')}" for line in one.details)


def _details(report: Report) -> Iterator[str]:
    if report.upgrade is None:
        yield from _certainty(report)
    else:
        for pair in report.comparisons:
            yield from (f"- {_cut(line)}" for line in reasons(pair))
        unchanged = report.upgrade.unchanged
        yield from (f"- {_cut(f'did not change: {sentence}')}" for sentence in unchanged)
        for package in report.upgrade.packages:
            versions = " against ".join(version or "none" for version in package.versions[::-1])
            yield f"- {_cut(f'{package.name}: {versions}')}"
    for case, result in report.bench.items():
        yield from (f"- {_cut(f'{case}: {line}')}" for line in how(result))
    if report.command:
        yield f"- reproduce: {_code(_cut(shlex.join(without_out(report.command))))}"


def _at_most(lines: Sequence[str], count: int) -> list[str]:
    """The first lines; what is left out is counted in the last one."""
    if len(lines) <= count:
        return list(lines)
    more = f"{len(lines) - count + 1} more are in the report"
    last = f"| | {more} |" if lines[0].startswith("|") else f"- {more}"
    return [*lines[: count - 1], last]


def _cut(text: str) -> str:
    cell = markdown_cell(text)
    return cell if len(cell) <= _LONGEST else f"{cell[: _LONGEST - 1]}…"


def _code(text: str) -> str:
    return f"`{text.replace('`', '')}`"
