"""A bar for each run while it goes, on a terminal; silence elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from harness.execution.parent.runner import OnEvent, Run
from harness.results.settings import differing_settings
from harness.spec.case import label

__all__ = ["bars"]

_MANY = 12  # runs; of more, only those under way have a bar, under one for all


@contextmanager
def bars(runs: Sequence[Run], console: Console, experiments: bool = False) -> Iterator[OnEvent]:
    """A listener for `run_all` that draws one bar a run on `console`.

    It also tells at once in what a run is set up otherwise than the first of its case, before time
    is spent on either; a script that keeps its output gets that line too. Not of `experiments`,
    which are set up otherwise on purpose.
    """
    settings: dict[str, tuple[str, dict[str, Any]]] = {}

    def compare_settings(number: int, event: dict[str, Any]) -> None:
        spec = runs[number].spec
        told = label(spec), event["settings"]
        name, before = settings.setdefault(spec.case.name, told)
        names = [each.name for each in differing_settings(before, told[1])]
        if names and not experiments:
            text = f"{spec.case.name}: {told[0]} is set up otherwise than {name}: "
            console.print(Text(text + ", ".join(names), style="yellow"))

    if not console.is_terminal:

        def quietly(number: int, event: dict[str, Any]) -> None:
            if event["event"] == "settled":
                compare_settings(number, event)

        yield quietly
        return
    with Progress(
        TextColumn("{task.fields[case]} {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[state]}"),
        console=console,
    ) as progress:
        many = len(runs) > _MANY
        overall = progress.add_task("runs", total=len(runs), case="all", state="", visible=many)
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
