"""Measures whether training that is killed at random moments and resumed loses anything.

    python -m studies.random_kills --kills 20 --out FOLDER

Each loop trains with a checkpoint every few steps. Its process is killed by SIGKILL at random
moments, also during a step or the writing of a checkpoint, and resumed. Each finished run is
compared with an undisturbed one. 20 kills of each loop took 82 starts of a training. Published:
`reports/published/random-kills`. The exit code is 1 if anything beyond the last steps is lost.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer
from rich.console import Console

from harness.comparison.compare import compare
from harness.execution.checkpoints import FOLDER, Checkpoints
from harness.execution.parent.runner import Run, run_all
from harness.report.text.summary import sentence
from harness.results.record import RunRecord
from harness.spec import registry
from harness.spec.case import RunSpec
from studies.study import write_result

LOOPS = ("plain", "accelerated", "trainer")
SETTINGS = {
    "train_rows": 84,
    "eval_rows": 24,
    "num_epochs": 8,
    "gradient_accumulation_steps": 2,
    "eval_every": 5,
    "num_workers": 1,
    "save_every": 2,
}


class Killer:
    """Kills the training worker `delay_s` seconds after its first step in this process."""

    def __init__(self, delay_s: float) -> None:
        self.last_step = 0
        """The last step that the worker reported."""
        self._timer = threading.Timer(delay_s, self._kill)

    def on_event(self, number: int, event: dict[str, Any]) -> None:
        """Start the timer at the first step; cancel it at the end of the run."""
        if event["event"] == "step":
            if not self.last_step:
                self._timer.start()
            self.last_step = event["step"]
        elif event["event"] == "completed":
            self._timer.cancel()

    def _kill(self) -> None:
        """The worker leads its own process group, which includes the workers of a DataLoader."""
        for child in psutil.Process().children(recursive=True):
            with suppress(ProcessLookupError, psutil.NoSuchProcess):
                if os.getpgid(child.pid) == child.pid != os.getpgrp():
                    os.kill(child.pid, signal.SIGKILL)


def train(
    spec: RunSpec, folder: Path, on_event: Callable[[int, dict[str, Any]], None]
) -> RunRecord:
    """Train one run, or resume it."""
    return run_all([Run(spec, folder)], 1, on_event)[0]


def main(
    kills: Annotated[int, typer.Option(min=1, help="Number of kills of each loop.")] = 20,
    seed: Annotated[int, typer.Option(help="Seed of the moments.")] = 0,
    out: Annotated[Path, typer.Option(help="A new folder for records and result.")] = Path(
        "reports/random-kills"
    ),
) -> None:
    """Kill and resume runs, compare the finished ones, and write result.json."""
    draw, console = random.Random(seed), Console()
    case = registry.with_settings(registry.cases()["paraphrase"], SETTINGS)
    every = SETTINGS["save_every"]
    struck: list[dict[str, Any]] = []
    faults: list[str] = []
    finished = dict.fromkeys(LOOPS, 0)
    for loop in LOOPS:
        spec = registry.run_spec(case, loop)
        reference = train(spec, out / f"{loop}-undisturbed", lambda _number, _event: None)
        typical_s = reference.header.wall_s or 1.0
        folder, count = out / f"{loop}-killed", 0
        while count < kills or RunRecord(folder).header.status != "completed":
            killer = Killer(draw.uniform(0, typical_s / 2) if count < kills else 3600.0)
            before, _ = Checkpoints(folder / FOLDER).newest(spec)
            record = train(spec, folder, killer.on_event)
            header = record.header
            if header.status != "completed":
                after, passed_over = Checkpoints(folder / FOLDER).newest(spec)
                step = after.step if after else 0
                count += 1
                struck.append(
                    {"loop": loop, "killed_after_step": killer.last_step, "goes_on_from": step}
                )
                line = f"{loop} killed after step {killer.last_step}, resumes from {step}"
                console.print(line)
                # One checkpoint may have been incomplete, and not every step is reported.
                if killer.last_step - step >= 2 * every:
                    faults.append(
                        f"{loop}: lost more than the steps since a checkpoint: {struck[-1]}"
                    )
                faults += [f"{loop}: {word}" for word in passed_over]
                continue
            if before and header.resumed_from[-1] != before.step:
                faults.append(f"{loop}: resumed from {header.resumed_from}, not {before.step}")
            found = compare(reference, record, (loop, f"{loop}, killed and resumed"))
            finished[loop] += 1
            console.print(f"{sentence(found)}; resumed from {list(header.resumed_from)}")
            if found.outcome != "identical":
                faults.append(f"{sentence(found)} {found.doubts}")
            if count < kills:
                shutil.rmtree(folder)
    result = {
        "kills": struck,
        "seed": seed,
        "settings": SETTINGS,
        "runs_finished": finished,
        "faults": faults,
    }
    write_result(out, result)
    console.print(f"{len(struck)} kills, {sum(finished.values())} runs finished after them")
    for fault in faults:
        console.print(f"FAULT {fault}", soft_wrap=True, markup=False)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    typer.run(main)
