"""The work of `harness check --against`: the same training at another commit, without a baseline.

The commit and the working tree train one after the other and are compared value by value. Then, if
a budget is given, they take turns, and their speeds are compared. One report lists what changed,
what did not, and what could not be compared.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from rich.console import Console

from harness.benchmark.bench import progress
from harness.benchmark.bench_commands import bench_in, trace_arms, traced_log
from harness.benchmark.commands import CommandArm
from harness.benchmark.sessions import BenchRequest, ShowProgress
from harness.comparison.pairs import compare_pair
from harness.errors import SpecError
from harness.execution.command.bounded import GroupProcess, last_line
from harness.execution.command.trace import Traced
from harness.execution.environments.checkouts import Checkout, checkouts
from harness.regression.upgrade import verdict_with_speeds
from harness.regression.upgrade_summary import Headers, upgrade_result
from harness.report.write import write
from harness.results.benchmark import BenchResult
from harness.results.comparison import Comparison, incomparable
from harness.results.folders import output_folder, records_in
from harness.results.record import RunRecord
from harness.results.report import Report

__all__ = ["AgainstRequest", "check_against"]

_WRONG_USE = 2
_SIDES = tuple[Checkout, Checkout]


@dataclass(frozen=True)
class AgainstRequest:
    """What is trained at both commits."""

    reference: str
    """The commit, branch or tag with which the working tree is compared."""
    install: str | None = None
    """See `checkouts`."""
    command: tuple[str, ...] = ()
    """A training command; empty: `run`."""
    run: tuple[str, ...] = ()
    """The words after `harness run` that train cases; `--` and the cases come last."""
    speeds: BenchRequest | None = None
    """How the speeds of the command are compared; None: they are not."""
    stop_after: int | None = None
    """The step after which a traced command ends; None: it ends by itself."""


@dataclass(frozen=True)
class _Found:
    records: list[tuple[str, RunRecord]]
    comparisons: list[Comparison]
    headers: Headers
    timed: tuple[Comparison, ...] = ()
    result: BenchResult | None = None
    notes: tuple[str, ...] = ()
    broken: bool = False


def check_against(
    request: AgainstRequest, out: Path | None, command: Sequence[str], console: Console
) -> tuple[Report, Path]:
    """Compare the working tree with a commit, and write the report.

    Raises `SpecError` if there is no such commit, or if a training refuses what it is asked.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(output_folder(out, "check-against"))
        show_progress = stack.enter_context(progress(console))
        sides = stack.enter_context(checkouts(request.reference, request.install, show_progress))
        train = _commands if request.command else _cases
        found = train(request, sides, folder.absolute(), show_progress)
        report = Report.of(
            found.records, found.comparisons, folder.absolute(), command, notes=found.notes
        )
        report = report.model_copy(
            update={
                "comparisons": (*found.comparisons, *found.timed),
                "bench": {} if found.result is None else {_title(request): found.result},
                "upgrade": upgrade_result(
                    [side.library_set for side in sides],
                    found.comparisons,
                    found.headers,
                    found.timed,
                ),
                "verdict": "failed" if found.broken else verdict_with_speeds(report, found.timed),
            }
        )
        write(report, folder)
    return report, folder


def _title(request: AgainstRequest) -> str:
    """The name of what is compared."""
    words = request.command
    scripts = [Path(word).name for word in words if word.endswith((".py", ".sh"))]
    modules = [name for option, name in pairwise(words) if option == "-m"]
    return next(iter(scripts or modules), "the command")


def _commands(
    request: AgainstRequest, sides: _SIDES, folder: Path, show_progress: ShowProgress
) -> _Found:
    arms = [CommandArm(s.label, request.command, s.folder, s.variables) for s in sides]
    show_progress(f"{_title(request)}: a traced run at each of the two commits")
    traced = trace_arms(arms, folder, math.inf, request.stop_after)
    one, two = (traced[arm.name] for arm in arms)
    first = [
        (arm.name, each.recorded[0].record)
        for arm, each in zip(arms, (one, two), strict=True)
        if each is not None and each.recorded
    ]
    notes = tuple(
        f"{arm.name}: {line}"
        for arm, each in zip(arms, (one, two), strict=True)
        for line in _what_is_wrong(each, traced_log(folder, arm.name))
    )
    title = _title(request)
    if len(first) < 2:
        pair = incomparable(title, arms[0].name, arms[1].name, "; ".join(notes))
        return _Found(first, [pair], {}, notes=notes, broken=True)
    labels = (arms[0].name, arms[1].name)
    values = compare_pair(title, labels, (first[0][1], first[1][1]), None, ())
    headers = {(title, label): record.header for label, record in first}
    broken = any(each is not None and each.end.exit_code for each in (one, two))
    if request.speeds is None or broken:
        return _Found(first, [values], headers, notes=notes, broken=broken)
    benched = bench_in(
        arms, request.speeds, folder, time.monotonic(), show_progress, dict(first), title
    )
    return _Found(
        first, [values], headers, benched.comparisons, benched.result, (*notes, *benched.remarks)
    )


def _what_is_wrong(traced: Traced | None, log: Path) -> list[str]:
    """Why a traced command has no record, or failed."""
    if traced is None:
        return ["it did not end"]
    failed = traced.end.exit_code != 0
    if traced.recorded:
        return [f"the command ended with exit code {traced.end.exit_code}"] if failed else []
    last = f" Its last output: {last_line(log) or 'none'}" if failed else ""
    return [f"{' '.join(traced.unseen)}{last}"]


def _cases(
    request: AgainstRequest, sides: _SIDES, folder: Path, show_progress: ShowProgress
) -> _Found:
    runs = []
    for side in sides:
        show_progress(f"harness run at {side.name}")
        out, log = folder / side.label, folder / "logs" / f"{side.label}.txt"
        words = [side.python, "-m", "harness", "run", "--out", str(out), *request.run]
        process = GroupProcess(words, side.folder, side.variables, log)
        try:
            end = process.wait(math.inf)
        finally:
            process.kill()
        if end is None or end.exit_code == _WRONG_USE or not (out / "report.json").is_file():
            last = last_line(log).removeprefix("harness: ") or "no output"
            raise SpecError(f"both commits can train this: at {side.name}: {last}")
        runs.append(records_in(out))
    then, now = runs
    named = [
        [((case, f"{loop} with {side.name}"), record) for (case, loop), record in found.items()]
        for side, found in zip(sides, runs, strict=True)
    ]
    comparisons = []
    for case, loop in dict.fromkeys([*then, *now]):
        labels = (f"{loop} with {sides[0].name}", f"{loop} with {sides[1].name}")
        if (case, loop) in then and (case, loop) in now:
            pair = then[case, loop], now[case, loop]
            comparisons.append(compare_pair(case, labels, pair, None, ()))
        else:
            missing = sides[1] if (case, loop) in then else sides[0]
            comparisons.append(incomparable(case, *labels, f"there is no run with {missing.name}"))
    records = [(label, record) for found in named for (_, label), record in found]
    headers = {key: record.header for found in named for key, record in found}
    broken = any(each.status not in ("completed", "stopped") for each in headers.values())
    return _Found(records, comparisons, headers, broken=broken)
