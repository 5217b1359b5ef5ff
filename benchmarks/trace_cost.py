"""What does watching cost? Blocks of steps, watched and not, take turns in one process.

`python -m benchmarks.trace_cost --mrpc-data DIR --mrpc-model DIR --out FOLDER`

The plain loop trains on MRPC without any probe, by itself once more, and watched by the timing
probe and by the trace probe at each detail; the stock Trainer trains with its logging off and with
`logging_steps=1`. In each round every arm trains one block of steps, in an order drawn at random;
the first step of a block is left out. A ratio is the mean over rounds of the logarithm of an arm's
block over its bare one, with a t-interval at 95%. There are three clocks:

- wall time, what a user waits. On a machine with other work it tells nothing: see its interval for
  the bare arm against itself;
- CPU time of all threads of the process: what watching costs where no core is idle;
- CPU time of the training's own thread: what it costs beside an idle core, but for the moments in
  which it waits for the other thread's last piece of work.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import random
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from scipy import stats

from harness import catalogue
from harness.environment import describe
from harness.loops import plain, trainer
from harness.probe import Listener, TimingProbe, TraceProbe
from harness.record import RecordWriter
from harness.seeding import make_deterministic, seed_everything
from harness.spec import DETAILS, RunSpec
from harness.watching import unwrapped_optimizer
from harness.worker import build_workload
from harness.workload import Workload

__all__ = ["ARMS", "Arm", "Bench", "ratio"]

CLOCKS = ("wall", "cpu", "thread")
Seconds = tuple[float, float, float]
STEPS = 6  # in a block; the first of them is not counted


@dataclass(frozen=True)
class Arm:
    """One way to train, and the arm without it."""

    name: str
    against: str
    limit: float | None
    """The largest ratio of wall time that was asked for; None: none was."""


ARMS = (
    Arm("bare", "bare", None),
    Arm("bare, again", "bare", None),
    Arm("timing", "bare", 1.005),
    Arm("trace, steps", "bare", None),
    Arm("trace, weights", "bare", 1.03),
    Arm("trace, full", "bare", 1.06),
    Arm("Trainer, logging off", "Trainer, logging off", None),
    Arm("Trainer, logging_steps=1", "Trainer, logging off", None),
)


class Times(Listener):
    """Stands in for a probe, or listens to one; notes wall and CPU seconds after each update."""

    def __init__(self) -> None:
        self.after: list[Seconds] = []

    def watch(self, model: Any, optimizer: torch.optim.Optimizer, rates: Any = None) -> None:
        """See `Probe.watch`."""
        unwrapped_optimizer(optimizer).register_step_post_hook(lambda *_: self.after_step(0))

    def after_step(self, step: int) -> None:
        """Note the times."""
        self.after.append((time.perf_counter(), time.process_time(), time.thread_time()))

    def logged(self, loss: Any) -> None:
        """Nothing is told of it."""

    evaluated = remedied = logged

    def per_step_s(self) -> Seconds:
        """Mean seconds of a step by each clock, without the first."""
        steps = len(self.after) - 1
        pairs = zip(self.after[0], self.after[-1], strict=True)
        wall, cpu, thread = ((end - begin) / steps for begin, end in pairs)
        return wall, cpu, thread


class Bench:
    """A workload on which blocks are trained."""

    def __init__(self, workload: Workload, spec: RunSpec, scratch: Path) -> None:
        self.workload, self.spec, self._scratch = workload, spec, scratch
        self._blocks = 0

    def block(self, name: str) -> Seconds:
        """Mean seconds of a step, in a block of the arm of that name."""
        self._blocks += 1
        times, recipe = Times(), self.spec.recipe
        if name.startswith("bare"):
            plain.train(self.workload, recipe, times)
        elif name.startswith("Trainer"):
            with _logging(name.endswith("=1")):
                workload = replace(self.workload, output_dir=self._folder())
                trainer.train(workload, recipe, times)
        else:
            writer = RecordWriter(self._folder())
            probe: TimingProbe | TraceProbe
            if name == "timing":
                probe = TimingProbe(writer, times, self.workload)
            else:
                detail = next(detail for detail in DETAILS if name.endswith(detail))
                spec = self.spec.model_copy(update={"detail": detail})
                probe = TraceProbe(writer, times, self.workload, spec, STEPS)
            plain.train(self.workload, recipe, probe)
            probe.close()
        return times.per_step_s()

    def _folder(self) -> Path:
        folder = self._scratch / str(self._blocks)
        folder.mkdir()
        return folder


@contextlib.contextmanager
def _logging(each_step: bool) -> Iterator[None]:
    """The Trainer's arguments as the loop sets them, but for the logging."""
    module: Any = trainer
    original = module.TrainingArguments

    def arguments(**asked: Any) -> transformers.TrainingArguments:
        strategy = "steps" if each_step else "no"
        made: transformers.TrainingArguments = original(
            **{**asked, "logging_strategy": strategy, "logging_steps": 1}
        )
        return made

    module.TrainingArguments = arguments
    try:
        with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
            yield
    finally:
        module.TrainingArguments = original


def ratio(blocks: list[float], bare: list[float]) -> tuple[float, float, float]:
    """Mean ratio over rounds, and its interval at 95%."""
    logs = [math.log(one / other) for one, other in zip(blocks, bare, strict=True)]
    half = float(stats.t.ppf(0.975, len(logs) - 1)) * statistics.stdev(logs) / math.sqrt(len(logs))
    mean = statistics.mean(logs)
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)


def measure(
    bench: Bench, arms: Sequence[Arm], rounds: int, told: Callable[[str], None]
) -> Iterator[dict[str, dict[str, Any]]]:
    """What each arm took and its ratios so far: after a round that warms up, at least two more."""
    found: dict[str, list[Seconds]] = {arm.name: [] for arm in arms}
    shuffled, draw = [arm.name for arm in arms], random.Random(0)
    for number in range(rounds + 1):
        draw.shuffle(shuffled)
        for name in shuffled:
            times = bench.block(name)
            if number:
                found[name].append(times)
        told(f"round {number} of {rounds}, load {os.getloadavg()[0]:.1f}")
        if number > 1:
            yield _summary(arms, found)


def _summary(arms: Sequence[Arm], found: dict[str, list[Seconds]]) -> dict[str, dict[str, Any]]:
    """Of each arm its limit, seconds of a step, and ratios, by each clock."""
    result = {}
    for arm in arms:
        row: dict[str, Any] = {"against": arm.against, "limit": arm.limit}
        for place, clock in enumerate(CLOCKS):
            own = [times[place] for times in found[arm.name]]
            row[f"{clock}_step_s"] = statistics.median(own)
            if arm.name != arm.against:
                other = [times[place] for times in found[arm.against]]
                row[f"{clock}_ratio"] = ratio(own, other)
        result[arm.name] = row
    return result


def _tell(line: str) -> None:
    print(line, flush=True)  # noqa: T201  # a benchmark talks


def _write(folder: Path, rounds: int, arms: dict[str, dict[str, Any]], device: Any) -> None:
    """The result so far, so that a run that is stopped has one too."""
    folder.mkdir(parents=True, exist_ok=True)
    result = {
        "steps": STEPS,
        "rounds": rounds,
        "cores": os.cpu_count(),
        "environment": describe(device),
        "arms": arms,
    }
    (folder / "result.json").write_text(json.dumps(result, indent=1) + "\n")


def main() -> int:
    """Measure, tell and write; the exit code is 1 where a limit is passed for sure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mrpc-data", type=Path, required=True)
    parser.add_argument("--mrpc-model", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=30, help="2 or more")
    parser.add_argument(
        "--arms", type=re.compile, default=re.compile(""), help="those whose names begin so"
    )
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    folders = {"data": str(asked.mrpc_data.resolve()), "model": str(asked.mrpc_model.resolve())}
    case = catalogue.with_settings(catalogue.cases()["mrpc"], {**folders, "max_steps": STEPS})
    spec = catalogue.run_spec(case, "plain")
    device = torch.device("cpu")
    make_deterministic(device, spec.recipe.num_threads)
    seed_everything(spec.recipe.seed)
    with tempfile.TemporaryDirectory() as scratch:
        workload = build_workload(case, spec.recipe, device, Path(scratch))
        bench = Bench(workload, spec, Path(scratch))
        chosen = [arm for arm in ARMS if asked.arms.match(arm.name)]
        for number, arms in enumerate(measure(bench, chosen, asked.rounds, _tell), start=2):
            if asked.out is not None:
                _write(asked.out, number, arms, device)
    for name, row in arms.items():
        ratios = "  ".join(
            "{} {:.4f} [{:.4f}, {:.4f}]".format(clock, *row[f"{clock}_ratio"])
            for clock in CLOCKS
            if f"{clock}_ratio" in row
        )
        _tell(f"{name:26s} {1000 * row['wall_step_s']:6.1f} ms  {ratios}")
    passed = [
        row["limit"] is not None and row["wall_ratio"][1] > row["limit"] for row in arms.values()
    ]
    return int(any(passed))


if __name__ == "__main__":
    raise SystemExit(main())
