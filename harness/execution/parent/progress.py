"""A progress bar for each run on a terminal; elsewhere a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from harness.execution.parent.runner import OnEvent, Run
from harness.execution.parent.time_left import TimeLeft
from harness.results.settings import differing_settings
from harness.spec.case import label

__all__ = ["bars"]

_LINE_EVERY_S = 10.0  # in a notebook and in a log, which keep each line
_ALL = "runs"  # what the bar for all runs counts
_SHOWN = ("step", "in the queue", "training")  # events that a log shows; the last two of jobs
_MANY = 12  # with more runs, only active ones have a bar, below one for all


class _TimeOfRun(TimeRemainingColumn):
    """The time that is left of one run, by the speed of its steps.

    Runs are too few for that; `TimeLeft` estimates theirs.
    """

    def render(self, task: Task) -> Text:
        return Text("") if task.description == _ALL else super().render(task)


@contextmanager
def bars(runs: Sequence[Run], console: Console, experiments: bool = False) -> Iterator[OnEvent]:
    """A listener for `run_all` that draws one bar for each run on `console`.

    It also prints at once which settings of a run differ from those of the first run of its case,
    before time is spent on either, also if `console` is no terminal. It does not for `experiments`,
    whose settings differ on purpose.
    """
    settings: dict[str, tuple[str, dict[str, Any]]] = {}

    def compare_settings(number: int, event: dict[str, Any]) -> None:
        spec = runs[number].spec
        here = label(spec), event["settings"]
        name, before = settings.setdefault(spec.case.name, here)
        names = [each.name for each in differing_settings(before, here[1])]
        if names and not experiments:
            text = f"{spec.case.name}: settings of {here[0]} differ from {name}: "
            console.print(Text(text + ", ".join(names), style="yellow"))

    if not console.is_terminal:
        show = _lines(runs, console)

        def without_bars(number: int, event: dict[str, Any]) -> None:
            if event["event"] == "settled":
                compare_settings(number, event)
            else:
                show(number, event)

        yield without_bars
        return
    with Progress(
        TextColumn("{task.fields[case]} {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        _TimeOfRun(),
        TextColumn("{task.fields[state]}"),
        console=console,
    ) as progress:
        many, left = len(runs) > _MANY, TimeLeft(len(runs))
        several = len({run.spec.case.name for run in runs}) > 1
        overall = progress.add_task(
            _ALL, total=len(runs), case="all", state="", visible=many or several
        )
        tasks = [
            progress.add_task(
                label(run.spec),
                total=None,
                start=False,
                case=run.spec.case.name,
                state="waiting",
                visible=not many,
            )
            for run in runs
        ]

        def on_event(number: int, event: dict[str, Any]) -> None:
            task = tasks[number]
            name = event["event"]
            left.note(number, event)
            progress.update(overall, state=left.text())
            if name == "settled":
                compare_settings(number, event)
            elif name == "building":
                progress.start_task(task)
                progress.update(task, state="building", visible=True)
            elif name == "step":
                progress.update(
                    task, completed=event["step"], total=event["total"], state="training"
                )
            elif name == "ended":
                progress.stop_task(task)
                progress.update(task, visible=not many)
                progress.advance(overall)
            else:
                progress.update(task, state=str(name))

        yield on_event


def _lines(runs: Sequence[Run], console: Console) -> Callable[[int, dict[str, Any]], None]:
    """Prints where a run is, at most one line every few seconds for all runs together."""
    printed_at, left = time.monotonic(), TimeLeft(len(runs))

    def show(number: int, event: dict[str, Any]) -> None:
        nonlocal printed_at
        left.note(number, event)
        now = time.monotonic()
        name = event["event"]
        if name in _SHOWN and now - printed_at >= _LINE_EVERY_S:
            printed_at = now
            spec = runs[number].spec
            what = f"step {event['step']} of {event['total']}" if name == "step" else name
            parts = [f"{spec.case.name} {label(spec)}: {what}"]
            if len(runs) > 1:
                parts += [f"{left.ended} of {len(runs)} runs ended", left.text()]
            console.print(Text(", ".join(filter(None, parts))), soft_wrap=True)

    return show
