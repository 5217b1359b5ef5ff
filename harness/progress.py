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

from harness.runner import OnEvent, Run, label

__all__ = ["bars"]

_MANY = 12  # runs; of more, only those under way have a bar, under one for all


@contextmanager
def bars(runs: Sequence[Run], console: Console) -> Iterator[OnEvent]:
    """A listener for `run_all` that draws one bar a run on `console`."""
    if not console.is_terminal:
        yield lambda _number, _event: None
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
            if name == "building":
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
