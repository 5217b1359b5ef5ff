"""Runs a traced command again, perturbed by rounding: the draws of its noise band.

A draw is the unchanged command. Only the weights are moved by one unit in the last place before
they are first trained, from a generator of the harness's own. What the command does besides, such
as writing files, is repeated.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.errors import RecordError, SpecError
from harness.execution.command.bounded import last_line
from harness.execution.command.trace import Traced, trace
from harness.results.folders import RECORDS
from harness.results.record import RunRecord
from harness.spec.case import LEAST_DRAWS, Perturbation
from harness.spec.command import CommandSpec

__all__ = ["LOGS", "Check", "Drawn", "check_draws", "draw"]

LOGS = "draws"
"""The folder of what the draws printed, within the output folder."""
Check = Callable[[RunRecord, RunRecord], None]
"""Raises `RecordError` if the second is no draw of the first."""


@dataclass(frozen=True)
class Drawn:
    """How many draws were made."""

    made: int
    problem: str = ""
    """Why there are fewer than were asked for; empty if there are not."""
    interrupted: bool = False
    """Whether the user stopped them."""

    @property
    def sentence(self) -> str:
        """How many there are, and why not more."""
        made = f"{self.made} draw{'' if self.made == 1 else 's'} of the noise band made"
        return f"{made}; {self.problem}" if self.problem else made


def check_draws(count: int | None, detail: str, every: int) -> None:
    """Raise `SpecError` if `--noise` has no such number of draws, or does not fit the trace."""
    if count is None:
        return
    if count and count < LEAST_DRAWS:
        rule = f"--noise takes {LEAST_DRAWS} draws or more, or 0 for a candidate"
        raise SpecError(rule, count, "write --noise 8")
    if detail != "full" or every != 1:
        met = f"--detail {detail}" if detail != "full" else f"--every {every}"
        raise SpecError("the noise band is measured on full traces", met, f"omit {met} or --noise")


def draw(
    spec: CommandSpec,
    traced: Traced,
    folder: Path,
    count: int,
    tell: Callable[[str], None],
    check: Check,
) -> Drawn:
    """Run the command of `spec` `count` more times; its records are added to those in `folder`.

    `traced`: the unperturbed run. `tell`: receives each line of progress. `check`: is given the
    record of the command and that of a draw. After a draw that failed no more are made. A draw that
    the user stopped leaves no record.
    """
    if traced.end.exit_code or not traced.recorded:
        why = (
            f"exit code {traced.end.exit_code}" if traced.end.exit_code else "no training recorded"
        )
        return Drawn(0, f"no draws are made of a command that did not complete a training: {why}")
    (folder / LOGS).mkdir()
    for number in range(1, count + 1):
        perturbed = spec.model_copy(update={"perturbation": Perturbation(draw=number)})
        log = folder / LOGS / f"{number}.log"
        try:
            tell(f"draw {number} of {count} begins; its output goes to {log}")
            found = trace(perturbed, folder, log)
            if found.end.interrupted:
                return _stopped(number, perturbed, folder)
            problem = _problem(traced, found, log, check)
        except KeyboardInterrupt:
            return _stopped(number, perturbed, folder)
        if problem:
            return Drawn(number - 1, f"draw {number} failed: {problem}")
    return Drawn(count)


def _stopped(number: int, spec: CommandSpec, folder: Path) -> Drawn:
    for unfinished in (folder / RECORDS).glob(f"*{spec.draw_suffix}"):
        shutil.rmtree(unfinished)
    return Drawn(number - 1, f"draw {number} was stopped by the user", interrupted=True)


def _problem(traced: Traced, found: Traced, log: Path, check: Check) -> str:
    """Why a draw is none; empty if nothing is wrong."""
    if found.end.exit_code:
        last = last_line(log)
        return f"exit code {found.end.exit_code}" + (f", {last}" if last else "")
    if len(found.recorded) != len(traced.recorded):
        return f"it recorded {len(found.recorded)} trainings, the command {len(traced.recorded)}"
    for one, two in zip(traced.recorded, found.recorded, strict=True):
        if two.record.header.probe_fault:
            return f"a fault of the harness: {two.record.header.probe_fault}"
        try:
            check(one.record, two.record)
        except RecordError as error:
            return str(error)
    return ""
