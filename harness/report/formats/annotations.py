"""Reports -> annotations of a build: at most ten, the worst first.

Pure. The syntax is that of GitHub's workflow commands; text from a record can neither end a command
nor begin another.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.report.text.answers import first_lines
from harness.report.text.causes import reasons
from harness.report.text.seeds import run_name
from harness.report.text.summary import (
    NOTHING_COMPARED,
    remarks,
    sentence,
    without_options,
    without_out,
)
from harness.report.text.verdict import headline
from harness.results.comparison import Comparison
from harness.results.regression import CheckItem, UsedBaseline
from harness.results.report import Report
from harness.units import number

__all__ = [
    "LIMIT",
    "MESSAGE_BYTES",
    "Annotation",
    "annotations_of",
    "cut",
    "informs",
    "workflow_command",
]

LIMIT = 10
"""GitHub shows ten errors, ten warnings and ten notices of a step; a reader reads ten in total."""
MESSAGE_BYTES = 4000
"""GitHub's runner silently cuts messages at 4096 characters."""
_TITLE_BYTES = 200
_AGREEING = ("identical", "within_noise", "equivalent")

Level = Literal["error", "warning", "notice"]


@dataclass(frozen=True)
class Annotation:
    """One annotation of a build."""

    level: Level
    title: str
    message: str
    """One statement per line."""


# Level and rank of each list of a check.
_LISTED: dict[str, tuple[Level, int]] = {
    "regressed": ("error", 1),
    "missing": ("warning", 3),
    "not_comparable": ("warning", 3),
    "inconclusive": ("warning", 4),
    "improved": ("notice", 6),
}
_OF_A_CHECK = ("--baseline", "--visible")
_TIERS = ("exact", "memory", "baseline", "speed")


def annotations_of(reports: Sequence[Report], limit: int = LIMIT) -> list[Annotation]:
    """At most `limit` for all reports together, the worst first; the last one counts the rest.

    Before the cut, a report that fails has an error, and one without a verdict at least a warning.
    A report in which everything agrees has none.
    """
    ranked = [pair for report in reports for pair in _of(report)]
    found = [annotation for _, annotation in sorted(ranked, key=lambda pair: pair[0])]
    if len(found) <= limit:
        return found
    kept, rest = found[: limit - 1], found[limit - 1 :]
    errors = sum(one.level == "error" for one in rest)
    words = f"{len(rest)} more, {errors} of them errors: the summary and report.html list all"
    return [*kept, Annotation(rest[0].level, f"{len(rest)} more", words)]


_Rank = tuple[float, ...]
_Ranked = tuple[_Rank, Annotation]


def _of(report: Report) -> list[_Ranked]:
    found = [*_runs(report), *_gate(report), *_pairs(report)]
    level: Level = "warning" if report.verdict == "no_verdict" else "error"
    green = report.verdict == "equivalent" or informs(report)
    if not green and not any(one.level in ("error", level) for _, one in found):
        message = "\n".join([*(first_lines(report) or [NOTHING_COMPARED]), _reproduce(report)])
        found.append(((2.0,), Annotation(level, headline(report), message)))
    return found


def informs(report: Report) -> bool:
    """Whether a report only informs, as that of a benchmark: only a failed run fails a build."""
    decides = report.gate is not None or report.upgrade is not None or report.verdict == "failed"
    return bool(report.bench) and not decides


def _runs(report: Report) -> Iterable[_Ranked]:
    """Runs that did not end normally."""
    for run in report.runs:
        if run.status in ("completed", "stopped"):
            continue
        level: Level = "warning" if run.status == "not run" else "error"
        rank = 3.0 if run.status == "not run" else 0.0
        lines = [run.error or "no reason recorded", *remarks(run), _reproduce(report)]
        title = f"{run.case}, {run_name(run)}: {run.status}"
        yield (rank,), Annotation(level, title, "\n".join(lines))


def _gate(report: Report) -> Iterable[_Ranked]:
    """The results of a check, except unchanged quantities."""
    if report.gate is None:
        return
    used = {baseline.case: baseline for baseline in report.gate.baselines}
    for item in report.gate.items:
        if item.listed == "unchanged":
            continue
        level, rank = _LISTED[item.listed]
        change = abs(item.ratio - 1) if item.ratio is not None else 0.0
        lines = [item.sentence]
        if item.tier == "speed" and report.gate.moved_together:
            lines.append(report.gate.moved_together)
        lines += [_reproduce(report), *_remedy(item, used.get(item.case), report)]
        where = f"{item.case}, {item.loop}" if item.loop else item.case
        title = f"{where}: {item.metric} {item.listed.replace('_', ' ')}{_change(item)}"
        order = (float(rank), float(_TIERS.index(item.tier)), -change)
        yield order, Annotation(level, title, "\n".join(lines))


def _remedy(item: CheckItem, used: UsedBaseline | None, report: Report) -> list[str]:
    """The remedy, with its command."""
    if item.listed == "inconclusive":
        return ["Measure longer, with a larger --budget, on an idle machine"]
    if item.listed == "not_comparable" or used is None or used.file is None:
        where = f" (class {used.machine_class})" if used and used.file else ""
        bench = [part for part in report.command if part != "--exact-only"]
        bench = [
            "bench" if part == "check" else part
            for part in without_options(without_out(bench), _OF_A_CHECK)
        ]
        return [
            f"Make a baseline on this machine{where}: {shlex.join([*bench, '--out', 'first'])}",
            f"Inspect it, then accept it: {_accept('first', report)}",
        ]
    folder = report.folder.name if report.folder else "RUN_DIR"
    why = "To keep the improvement" if item.listed == "improved" else "If the change is intended"
    return [f"{why}, accept it: {_accept(folder, report)}"]


def _pairs(report: Report) -> Iterable[_Ranked]:
    """Pairs that do not agree; in a benchmark, pairs that are not equally fast."""
    for pair in report.comparisons:
        if pair.outcome in _AGREEING:
            continue
        title = f"{pair.case}: {pair.candidate} against {pair.reference}: {pair.outcome}"
        lines = [sentence(pair), *reasons(pair)]
        if pair.note:
            lines.append(f"Known reason: {pair.note}")
        lines += [*pair.doubts, _reproduce(report)]
        level, rank = _level(report, pair)
        yield rank, Annotation(level, title, "\n".join(dict.fromkeys(lines)))


def _level(report: Report, pair: Comparison) -> tuple[Level, _Rank]:
    if pair.equality is not None:
        return ("notice", (7.0,))
    if pair.outcome == "different":
        first = pair.first_divergence
        return ("error", (2.0, float(bool(pair.note)), float(first.step if first else 0)))
    return ("warning", (5.0,))


def _change(item: CheckItem) -> str:
    """The size of the change, if it is a ratio or two numbers."""
    if item.ratio is not None:
        return f" ({item.ratio - 1:+.1%})"
    numbers = [v for v in (item.before, item.now) if isinstance(v, (int, float))]
    if len(numbers) == 2:
        return f" ({number(numbers[0], 6)} to {number(numbers[1], 6)})"
    return ""


def _reproduce(report: Report) -> str:
    return f"Reproduce: {shlex.join(without_out(report.command))}"


def _accept(folder: str, report: Report) -> str:
    """The command that makes the run in `folder` the baseline of this report's check."""
    baseline = _option(report.command, "--baseline") or "DIR"
    command = ["harness", "accept", folder, "--baseline", baseline, "--reason"]
    return f"{shlex.join(command)} 'WHY'"


def _option(command: Sequence[str], name: str) -> str:
    """The value of an option in a command, in either notation; empty if it is absent."""
    for place, part in enumerate(command):
        if part == name and place + 1 < len(command):
            return command[place + 1]
        if part.startswith(f"{name}="):
            return part.removeprefix(f"{name}=")
    return ""


def workflow_command(annotation: Annotation) -> str:
    """One line of GitHub's workflow commands, whatever the texts contain."""
    title = _escaped(_within(annotation.title, _TITLE_BYTES))
    title = title.replace(":", "%3A").replace(",", "%2C")
    message = _escaped(_within(annotation.message, MESSAGE_BYTES))
    return f"::{annotation.level} title={title}::{message}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _within(text: str, limit_bytes: int) -> str:
    """`text`, cut in its middle if it is too long: its end is the command to reproduce."""
    whole = text.encode()
    if len(whole) <= limit_bytes:
        return text
    gap = " [...] "
    half = (limit_bytes - len(gap)) // 2
    start, end = whole[:half].decode(errors="ignore"), whole[-half:].decode(errors="ignore")
    return f"{start}{gap}{end}"


def cut(page: str, limit_bytes: int) -> str:
    """A page of Markdown of at most `limit_bytes`, cut after a line, with a note about the cut."""
    whole = page.encode()
    if len(whole) <= limit_bytes:
        return page
    note = "\n\n**Cut here: the rest is in report.md of the artifact.**\n"
    kept = whole[: max(0, limit_bytes - len(note.encode()))]
    text = kept[: kept.rfind(b"\n") + 1].decode()
    return (text + note) if len(note.encode()) <= limit_bytes else ""
