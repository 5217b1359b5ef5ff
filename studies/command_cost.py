"""Measures what `harness trace` costs a training command, in turns with the untraced command.

    python -m studies.command_cost --mrpc-data DIR --mrpc-model DIR --budget 600 --out FOLDER

A plain script (`peer_loops/turns.py`) fine-tunes a BERT on MRPC: batch 8, one thread, dynamic
padding. It runs alone, alone once more as the control, and traced at each detail. With `--peers
DIR`, a virtual environment, it also runs under train-doctor, trainmeter and traincheck, as far as
they are installed there. All arms of a session are alive at once, but only one computes at a time:
each waits at a gate before its next block of steps. The arms take turns in an order that rotates.

A ratio compares the blocks of one round, which trained the same steps. The mean has a 95%
t-interval over rounds, by three clocks: own time, which is wall time without the time in which the
training thread waited for a core; CPU time of all threads; and wall time. A limit holds if the
whole interval of own time lies below it, and is broken if the whole interval lies above it. The
start-up is the time from the start of the command to the end of its first step.

Published: `reports/published/command-cost`. The exit code is 1 if a limit is broken, 4 if there
were too few rounds.
"""

from __future__ import annotations

import json
import math
import os
import select
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console

from harness.benchmark.intervals import Sample
from harness.errors import RunFailed
from harness.execution.child.metadata import describe
from studies.study import write_result

__all__ = ["LIMITS", "Answer", "Session", "costs", "details", "peers", "run_session"]

_SCRIPT = Path(__file__).parent / "peer_loops" / "turns.py"
LIMITS = {"full": 1.05, "steps": 1.01}
"""The required limit of the ratio of own time to that of the untraced command."""
_ALONE, _CONTROL = "alone", "alone again"
_SLOW = "traincheck"
"""Its steps take so long that it takes turns with the untraced command only, step by step."""
_TAIL = 0.025  # error probability on each side of an interval
_TIMEOUT_S = 900.0

Arms = Mapping[str, Sequence[str]]
"""The command of each arm, without the script."""


@dataclass(frozen=True)
class Answer:
    """What a script reports after a block, in seconds."""

    wall_s: float
    waited_s: float
    """How long its thread was ready and had no core."""
    cpu_s: float
    loss: float
    cpu_since_start_s: float

    @property
    def own_s(self) -> float:
        """Wall time without the time that the machine gave to others."""
        return self.wall_s - self.waited_s


@dataclass
class Session:
    """The blocks of arms that took turns."""

    start_s: dict[str, float]
    """From the start of each command to the end of its first step."""
    start_cpu_s: dict[str, float]
    rounds: list[dict[str, Answer]]


def details() -> dict[str, Sequence[str]]:
    """The script alone, twice, and traced at each detail."""
    python = sys.executable
    arms: dict[str, Sequence[str]] = {_ALONE: [python], _CONTROL: [python]}
    for name in ("full", "weights", "steps"):
        words = [python, "-m", "harness", "trace", "--detail", name, "--out", "trace"]
        arms[name] = [*words, "--", python]
    return arms


def peers(environment: Path) -> dict[str, Sequence[str]]:
    """The script alone and under each tool that is installed in a virtual environment."""
    programs = environment / "bin"
    python = str(programs / "python")
    # train-doctor ends the training after its window, so the window is longer than the study.
    endless = [
        "profile",
        "--steps",
        "1000000",
        "--seconds",
        "0",
        "--profiler-steps",
        "0",
        "--timeout",
        "86400",
        "--",
    ]
    quiet = ["--no-web", "--quiet", "--"]
    words = {
        "train-doctor": ["train-doctor", *endless, python],
        "trainmeter": ["tm", *quiet, python],
        "traincheck": ["traincheck-collect", "-t", "torch", "--models-to-track", "model", "-p"],
    }
    found: dict[str, Sequence[str]] = {_ALONE: [python]}
    for name, (program, *rest) in words.items():
        if (programs / program).is_file():
            found[name] = [str(programs / program), *rest]
    return found


class _Command:
    """A command that is alive and waits for its turn."""

    def __init__(
        self, name: str, words: Sequence[str], folder: Path, variables: Mapping[str, str]
    ) -> None:
        folder.mkdir(parents=True)
        self._name, self._log = name, folder / "output.txt"
        script = folder / _SCRIPT.name  # a copy: a tool may write beside it
        shutil.copyfile(_SCRIPT, script)
        paths = {"TURN_GO": folder / "go", "TURN_DONE": folder / "done"}
        for path in paths.values():
            os.mkfifo(path)
        # For reading and writing, so that neither end waits for the other to open it.
        self._go, self._done = (os.open(path, os.O_RDWR) for path in paths.values())
        self._text = b""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # the tools named in this file
                [*words, str(script)],
                cwd=folder,
                env={**os.environ, **variables, **{k: str(v) for k, v in paths.items()}},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def train(self, steps: int) -> Answer:
        """Have it train a block. Raises `RunFailed` if it ends or is silent for too long."""
        os.write(self._go, f"{steps}\n".encode())
        deadline = time.monotonic() + _TIMEOUT_S
        while b"\n" not in self._text:
            if select.select([self._done], [], [], 0.5)[0]:
                self._text += os.read(self._done, 65536)
            elif self._process.poll() is not None or time.monotonic() > deadline:
                last = self._log.read_text(encoding="utf-8", errors="replace").split("\n")[-15:]
                raise RunFailed(f"{self._name} gave no answer:\n" + "\n".join(last))
        line, _, self._text = self._text.partition(b"\n")
        return Answer(*json.loads(line))

    def end(self) -> None:
        """End the training, and the command."""
        os.write(self._go, b"0\n")
        try:
            self._process.wait(timeout=120)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        for each in (self._go, self._done):
            os.close(each)


@contextmanager
def _alive(
    name: str, words: Sequence[str], folder: Path, variables: Mapping[str, str]
) -> Iterator[_Command]:
    command = _Command(name, words, folder, variables)
    try:
        yield command
    finally:
        command.end()


def run_session(
    arms: Arms, folder: Path, variables: Mapping[str, str], steps: int, budget_s: float, turn: int
) -> Session:
    """Start the arms one after another, then have them take turns until the budget is spent.

    `turn`: the place of the arm that begins. A round that has begun is finished.
    """
    names = _rotated(list(arms), turn)
    session = Session({}, {}, [])
    with ExitStack() as stack:
        commands = {}
        for name in names:
            began = time.monotonic()
            place = folder / name.replace(" ", "-")
            commands[name] = stack.enter_context(_alive(name, arms[name], place, variables))
            first = commands[name].train(1)
            session.start_s[name] = time.monotonic() - began
            session.start_cpu_s[name] = first.cpu_since_start_s
        for name in names:  # the first block still fills caches
            commands[name].train(1)
        began = time.monotonic()
        while time.monotonic() - began < budget_s:
            order = _rotated(names, len(session.rounds))
            session.rounds.append({name: commands[name].train(steps) for name in order})
    return session


def _rotated(names: list[str], turn: int) -> list[str]:
    place = turn % len(names)
    return names[place:] + names[:place]


def costs(sessions: Sequence[Session]) -> dict[str, dict[str, Any]]:
    """The ratios of each arm to the untraced command, with intervals, and the start-up.

    `own_of_both`: of own time, to the geometric mean of both arms without a trace.
    """
    found: dict[str, dict[str, Any]] = {}
    rounds = [each for session in sessions for each in session.rounds]
    for arm in rounds[0]:
        row: dict[str, Any] = {
            "start_s": statistics.fmean(each.start_s[arm] for each in sessions),
            "start_cpu_s": statistics.fmean(each.start_cpu_s[arm] for each in sessions),
            "same_losses": all(each[arm].loss == each[_ALONE].loss for each in rounds),
        }
        found[arm] = row
        if arm == _ALONE:
            row["own_s"] = statistics.median(each[arm].own_s for each in rounds)
            continue
        if _CONTROL in rounds[0] and arm != _CONTROL:
            both = [math.sqrt(e[_ALONE].own_s * e[_CONTROL].own_s) for e in rounds]
            pairs = zip(rounds, both, strict=True)
            sample = Sample(tuple(math.log(e[arm].own_s / mean) for e, mean in pairs))
            row["own_of_both"] = _described(sample)
        for clock in ("own", "cpu", "wall"):
            ratios = [
                getattr(e[arm], f"{clock}_s") / getattr(e[_ALONE], f"{clock}_s") for e in rounds
            ]
            row[clock] = _described(Sample(tuple(map(math.log, ratios))))
        row["limit"] = limit = LIMITS.get(arm)
        if limit is not None:
            low, high = row["own"]["interval"]
            row["judged"] = "holds" if high <= limit else "broken" if low > limit else "not shown"
    return found


def _described(sample: Sample) -> dict[str, Any]:
    return {"ratio": math.exp(sample.mean), "interval": sample.interval(_TAIL)}


def main(
    mrpc_data: Annotated[Path, typer.Option(help="Folder of GLUE MRPC.")],
    mrpc_model: Annotated[Path, typer.Option(help="Folder of a pretrained BERT.")],
    budget: Annotated[float, typer.Option(help="Seconds of the rounds of all details.")] = 600.0,
    sessions: Annotated[int, typer.Option(min=1, help="Sessions: processes are new in each.")] = 2,
    steps: Annotated[int, typer.Option(min=1, help="Steps of a block.")] = 4,
    peer_environment: Annotated[
        Path | None,
        typer.Option("--peers", help="A virtual environment with other tools for commands."),
    ] = None,
    peer_budget: Annotated[float, typer.Option(help="Seconds of the rounds of peers.")] = 180.0,
    out: Annotated[Path, typer.Option(help="Folder of result and logs.")] = (
        Path("reports/command-cost")
    ),
) -> None:
    """Measure the cost of tracing a command, print it and write result.json. Exit code 1: a limit
    is broken; 4: too few rounds."""
    console = Console(stderr=True)
    root = str(Path(__file__).parents[1])
    variables = {
        "MODEL": str(mrpc_model.resolve()),
        "MRPC": str(mrpc_data.resolve()),
        "HF_HUB_OFFLINE": "1",
    }
    own = {"PYTHONPATH": os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])}
    scratch = out.absolute() / "arms"
    shutil.rmtree(scratch, ignore_errors=True)
    result: dict[str, Any] = {
        "steps_of_a_block": steps,
        "load_before": os.getloadavg()[0],
        "environment": describe(torch.device("cpu")),
    }

    def measured(what: str, arms: Arms, many: int, seconds: float, block: int) -> None:
        made = []
        for number in range(many):
            folder = scratch / f"{what.replace(' ', '-')}-{number + 1}"
            both = {**variables, **own} if what == "details" else variables
            session = run_session(arms, folder, both, block, seconds / many, number)
            made.append(session)
        if sum(len(session.rounds) for session in made) < 3:
            console.print(f"{what}: too few rounds; the budget of {seconds:g} s is too small")
            sys.exit(4)
        rows = costs(made)
        result[what] = {
            "rounds": [len(session.rounds) for session in made],
            "costs": rows,
            "own_s": [
                {name: round(answer.own_s, 4) for name, answer in each.items()}
                for session in made
                for each in session.rounds
            ],
        }
        write_result(out, result)
        for line in _lines(rows):
            console.print(line, highlight=False, soft_wrap=True)

    measured("details", details(), sessions, budget, steps)
    if peer_environment is not None:
        # An absolute path, but not resolved: the program of an environment is a link out of it.
        arms = peers(peer_environment.absolute())
        slow = {name: words for name, words in arms.items() if name in (_ALONE, _SLOW)}
        quick = {name: words for name, words in arms.items() if name != _SLOW}
        measured("peers", quick, 1, peer_budget, steps)
        if _SLOW in slow:
            measured("slow peer", slow, 1, peer_budget, 1)
    result["load_after"] = os.getloadavg()[0]
    write_result(out, result)
    if any(row.get("judged") == "broken" for row in result["details"]["costs"].values()):
        sys.exit(1)


def _lines(rows: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, row in rows.items():
        start = f"start-up {row['start_s']:.1f} s, CPU {row['start_cpu_s']:.1f} s"
        if "own" not in row:
            yield f"{name:12s} {row['own_s']:.3f} s for a block; {start}"
            continue
        parts = (
            f"{clock} {row[clock]['ratio']:.4f} [{low:.4f}, {high:.4f}]"
            for clock in ("own", "own_of_both", "cpu", "wall")
            if clock in row
            for low, high in [row[clock]["interval"]]
        )
        limit = f"  limit {row['limit']}: {row['judged']}" if row["limit"] else ""
        same = "" if row["same_losses"] else "; other losses"
        yield f"{name:12s} {'  '.join(parts)}{limit}; {start}{same}"


if __name__ == "__main__":
    typer.run(main)
