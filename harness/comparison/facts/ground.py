"""What the statements are made from: the evidence of two runs, and how it is read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from harness.comparison.causes.evidence import Evidence
from harness.comparison.causes.run_view import RunView
from harness.comparison.factors import ratios_applied
from harness.comparison.updates import Cut, Update, updates_of

__all__ = ["Ground"]


@dataclass(frozen=True)
class Ground:
    """Two runs that differ."""

    evidence: Evidence
    cut: Cut | None
    """The steps that the two divide into micro-batches differently, over the same rows."""

    @property
    def runs(self) -> tuple[RunView, RunView]:
        """Reference, candidate."""
        return self.evidence.runs

    @property
    def stage(self) -> str:
        """The stage of the first divergence."""
        return self.evidence.first_stage

    @property
    def step(self) -> int:
        """The step of the first divergence."""
        return self.evidence.step

    def values(self, name: str) -> tuple[Any, Any]:
        """A setting of reference and candidate; None where it is not recorded."""
        one, two = (run.setting(name) for run in self.runs)
        return one, two

    def differs(self, name: str) -> bool:
        """Whether both runs record a setting, and it differs."""
        return name in self.evidence.settings

    @cached_property
    def begins(self) -> int:
        """The first step of the process that recorded the settings: later for a resumed run."""
        resumed = [run.record.header.resumed_from for run in self.runs]
        return max((steps[-1] for steps in resumed if steps), default=0) + 1

    @property
    def at_start(self) -> bool:
        """Whether the first divergence is in the step in which a setting takes effect."""
        return self.step <= self.begins

    @cached_property
    def first_effective_step(self) -> int:
        """The first step whose learning rate is not 0 in one of the runs; 1 if none is known."""
        rates = zip(*(run.rates for run in self.runs), strict=False)
        moving = (step for step, both in enumerate(rates, start=1) if any(both))
        return next((step for step in moving if step >= self.begins), self.begins)

    @cached_property
    def updates(self) -> tuple[Update | None, Update | None]:
        """The updates of both runs at the first divergence."""
        found = [updates_of(run.record, {self.step}).get(self.step) for run in self.runs]
        return found[0], found[1]

    @cached_property
    def batch_sizes(self) -> tuple[int | None, int | None]:
        """Rows of the micro-batch at the first divergence; None where it has none."""
        first = self.evidence.first
        place = 0 if first is None else (first.micro_batch or 1) - 1
        sizes = [
            update.sizes[place] if update is not None and place < len(update.sizes) else None
            for update in self.updates
        ]
        return sizes[0], sizes[1]

    def scale(self, run: RunView) -> dict[str, float]:
        """By what factor a run changes the gradient of each tensor before the update."""
        return ratios_applied(run.record, self.step)

    def raw_norm(self, run: RunView) -> float:
        """The norm of all gradients at the first divergence; NaN if it is not recorded."""
        norms = run.grad_norms
        return norms[self.step - 1] if 0 < self.step <= len(norms) else math.nan
