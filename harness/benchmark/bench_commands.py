"""The work of `harness bench -- COMMAND_A -- COMMAND_B`: unchanged commands take turns.

First a few traced steps of each show whether they compute the same. Then each session starts every
command, and the first one once more as the control. The steps of a turn have the same numbers in
all commands, so they are compared in pairs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from harness.benchmark.bench import progress, verdict_of
from harness.benchmark.command_process import Known, starting_commands
from harness.benchmark.commands import CommandArm, command_plan, with_control
from harness.benchmark.figures import command_figures
from harness.benchmark.folder import output_folder
from harness.benchmark.result import result_of
from harness.benchmark.schedule import BLOCK_S
from harness.benchmark.sessions import (
    BenchRequest,
    Measured,
    ShowProgress,
    Subject,
    measure,
    stored,
)
from harness.benchmark.traced import TRACED_STEPS
from harness.comparison.pairs import compare_pair
from harness.execution.command.trace import Traced, trace_briefly
from harness.report.write import write
from harness.results.benchmark import CONTROL, BenchResult
from harness.results.comparison import Comparison
from harness.results.record import RunRecord
from harness.results.report import Report
from harness.results.sessions import Session
from harness.spec.command import CommandSpec
from harness.units import quantity

__all__ = [
    "BenchedCommands",
    "bench_commands",
    "bench_in",
    "trace_arms",
    "traced_log",
    "traced_steps",
]

_TITLE = "commands"
_TRACED_SHARE = 3
"""The traced steps take at most this fraction (1/n) of the budget."""
_REPORT_S = 1.5
"""Part of a budget that is reserved for the report."""


@dataclass(frozen=True)
class BenchedCommands:
    """The result of a bench of commands."""

    comparisons: tuple[Comparison, ...]
    result: BenchResult | None
    """None if too few sessions fit into the budget."""
    records: tuple[tuple[str, RunRecord], ...]
    remarks: tuple[str, ...]
    """What a reader must know of the commands, one sentence each."""


def bench_commands(
    arms: Sequence[CommandArm],
    request: BenchRequest,
    out: Path | None,
    command: Sequence[str],
    console: Console,
    resume: bool = False,
) -> tuple[Report, Path]:
    """Bench commands, and write a report. The first arm is the reference.

    Raises `SpecError` if a command cannot take turns, `RunFailed` if one fails or hangs, and as
    `output_folder` does.
    """
    began = time.monotonic()
    with output_folder(out, _TITLE, resume) as folder, progress(console) as show_progress:
        spent = began + request.budget_s
        show_progress(f"tracing {TRACED_STEPS} steps of each command, to compare their values")
        limit = (spent - time.monotonic()) / _TRACED_SHARE
        traced = {} if request.beside == "nothing" else traced_steps(arms, folder, limit)

        def show(text: str) -> None:
            show_progress(text.removeprefix(f"{_TITLE}: "))  # there is only one bench

        found = bench_in(arms, request, folder, began, show, traced)
        notes = [*(f"{arm.name}: {arm.text}" for arm in arms), *found.remarks]
        report = Report.of(found.records, found.comparisons, folder, command, notes=notes)
        report = report.model_copy(
            update={
                "bench": {} if found.result is None else {_TITLE: found.result},
                "verdict": verdict_of(
                    [r.header.status for _, r in found.records], found.comparisons
                ),
            }
        )
        write(report, folder)
    return report, folder


def trace_arms(
    arms: Sequence[CommandArm], folder: Path, limit_s: float, stop_after: int | None
) -> dict[str, Traced | None]:
    """Trace each command until that step, or its end; None if it was not in time.

    They run at the same time: values do not depend on it, and times are not taken.
    """

    def traced(arm: CommandArm) -> Traced | None:
        spec = CommandSpec(
            name=arm.name, command=arm.words, folder=str(arm.folder), stop_after=stop_after
        )
        return trace_briefly(spec, folder, traced_log(folder, arm.name), arm.variables, limit_s)

    with ThreadPoolExecutor(len(arms)) as pool:
        return dict(zip([arm.name for arm in arms], pool.map(traced, arms), strict=True))


def traced_log(folder: Path, name: str) -> Path:
    """The file with what the traced command of an arm printed."""
    return folder / "logs" / "traced" / f"{name}.txt"


def traced_steps(
    arms: Sequence[CommandArm], folder: Path, limit_s: float
) -> dict[str, RunRecord | None]:
    """The record of the first steps of each command; None if there is none within the limit."""
    found = trace_arms(arms, folder, limit_s, TRACED_STEPS)
    return {
        name: traced.recorded[0].record if traced is not None and traced.recorded else None
        for name, traced in found.items()
    }


def bench_in(
    arms: Sequence[CommandArm],
    request: BenchRequest,
    folder: Path,
    began: float,
    show_progress: ShowProgress,
    traced: Mapping[str, RunRecord | None],
    title: str = _TITLE,
) -> BenchedCommands:
    """The same in a folder that exists. `began`: start of its budget, by the monotonic clock.

    `traced`: the records of the commands, as far as there are any. `title`: of what is compared.
    """
    all_arms = with_control(arms)
    known = Known()
    reference = traced.get(arms[0].name)
    equality = {
        name: compare_pair(title, (arms[0].name, name), (reference, record), None, ())
        for name, record in traced.items()
        if record is not None and reference is not None and name != arms[0].name
    }
    records = [(name, record) for name, record in traced.items() if record is not None]
    plan = command_plan(all_arms)
    devices = {record.header.spec.device_name for _, record in records}
    subject = Subject(
        title=title,
        names=[arm.name for arm in all_arms],
        device=devices.pop() if len(devices) == 1 else "cpu",
        plan=plan,
        seed=0,
        start=starting_commands(all_arms, folder / "logs", request.timeout_s, known),
        most_steps=lambda: known.most_steps,
    )
    deadline = began + request.budget_s - _REPORT_S
    measured = measure(subject, request, stored(folder, plan), folder, deadline, show_progress)
    comparisons, result = result_of(
        subject,
        measured,
        request,
        equality,
        lambda: [command_figures(arm, measured.sessions, known.parameters) for arm in all_arms],
        None,
        time.monotonic() - began,
    )
    missing = [name for name, record in traced.items() if record is None]
    remarks = [f"{name} left no record of its first steps in time" for name in missing]
    remarks += _remarks(known, measured)
    return BenchedCommands(comparisons, result, tuple(records), tuple(remarks))


def _remarks(known: Known, measured: Measured) -> list[str]:
    """What the sessions showed of the commands besides their speed."""
    found = [
        f"at the end of the budget {name} had made no optimizer step in {quantity(seconds, 's')}"
        for name, seconds in known.waited_s.items()
    ]
    lengths = [
        *(f"{name} makes {steps} steps" for name, steps in known.ended_after.items()),
        *(f"{name} more than {steps}" for name, steps in known.longer_than.items()),
    ]
    shown = [length for length in lengths if not length.startswith(f"{CONTROL} ")]
    if len(set(known.ended_after.values())) > 1 or known.longer_than:
        found.append(f"{', '.join(shown)}: only steps that all of them make are timed")
    workers = sorted(known.loader_workers - {CONTROL})
    if workers:
        found.append(
            f"{' and '.join(workers)} had other processes, such as those of a data loader, which "
            "work on while it waits for its turn: the time for data is not measured"
        )
    block_s = _shortest_block_s(measured.sessions)
    if block_s < BLOCK_S / 2:
        found.append(
            f"the commands are short: the timed steps of a turn took {quantity(block_s, 's')}, and "
            f"{BLOCK_S:g} s are better"
        )
    return found


def _shortest_block_s(sessions: Sequence[Session]) -> float:
    blocks = [block.wall_s for session in sessions for block in session.blocks]
    return min(blocks, default=BLOCK_S)
