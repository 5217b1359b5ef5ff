"""What the signatures of causes read: two runs, the stages that differ, and by how much."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from harness.comparison.batches import BACKWARD
from harness.comparison.causes.run_view import RunView, close
from harness.comparison.factors import UNIFORM, factors, one_factor
from harness.results.divergence import Divergence, StageDifference
from harness.results.record import RunRecord
from harness.results.settings import SettingDifference

__all__ = ["Evidence", "evidence_of"]


@dataclass(frozen=True)
class Evidence:
    """Two runs and their differences."""

    reference: RunView
    candidate: RunView
    stages: Sequence[StageDifference]
    first: Divergence | None
    """The first divergence."""
    settings: Mapping[str, SettingDifference]
    """Settings that differ, by name."""

    @cached_property
    def firsts(self) -> dict[str, Divergence]:
        """The first divergence of each stage that differs."""
        return {stage.stage: stage.first for stage in self.stages if stage.first is not None}

    @cached_property
    def independent(self) -> frozenset[str]:
        """Stages whose difference follows from no earlier stage."""
        return frozenset(s.stage for s in self.stages if s.first is not None and s.follows is None)

    @property
    def runs(self) -> tuple[RunView, RunView]:
        """Reference, candidate."""
        return self.reference, self.candidate

    @property
    def ordered_pairs(self) -> Iterator[tuple[RunView, RunView]]:
        """Both orders of the two runs: either of them may have the fault."""
        yield self.candidate, self.reference
        yield self.reference, self.candidate

    @cached_property
    def differing_initial_weights(self) -> list[str]:
        """Names of the parameters whose initial weights differ."""
        one, two = (run.initial_digests for run in self.runs)
        return [name for name in one if one[name] != two.get(name)]

    @property
    def first_stage(self) -> str:
        """The stage of the first divergence; empty if there is none."""
        return self.first.stage if self.first else ""

    @property
    def step(self) -> int:
        """The step of the first divergence; 0 if there is none."""
        return self.first.step if self.first else 0

    @cached_property
    def gradient_factor(self) -> float | None:
        """The one ratio candidate / reference of all raw gradients at their first divergence."""
        place = self.firsts.get("gradients")
        if place is None:
            return None
        return one_factor(factors(self.reference.record, self.candidate.record, place.step))

    @property
    def only_backward_differs(self) -> bool:
        """Whether the first divergence is the loss that goes backward, and the workload's own loss
        agrees: the loss was scaled after it was computed."""
        first = self.first
        return first is not None and first.stage == "loss" and first.detail.startswith(BACKWARD)

    @property
    def first_factor(self) -> float | None:
        """`gradient_factor`, if the scale of the gradients is the first divergence, and not 1."""
        place = self.firsts.get("gradients")
        scaled = self.only_backward_differs and place is not None and place.step == self.step
        factor = self.gradient_factor if self.first_stage == "gradients" or scaled else None
        return None if factor is None or abs(factor - 1) <= UNIFORM else factor

    @cached_property
    def loss_factors_known(self) -> bool:
        """Whether `RunView.loss_factor` is known: no label smoothing and no loss scaler."""
        recipes = [run.record.run_spec.recipe for run in self.runs]
        return not any(r.label_smoothing or r.precision == "fp16" for r in recipes)

    def run_with_scaled_loss(self, factor: float) -> RunView | None:
        """The run whose scaled loss explains that the gradients differ by `factor`.

        `factor`: candidate / reference. None if the loss of neither run alone explains it.
        """
        one, two = (run.loss_factor(self.step) for run in self.runs)
        if one == 1 and close(two, factor):
            return self.candidate
        return self.reference if two == 1 and close(one, 1 / factor) else None

    @cached_property
    def resumed_at(self) -> int | None:
        """Step of the last checkpoint before the divergence, if exactly one run was resumed."""
        resumed = [run.record.header.resumed_from for run in self.runs]
        if bool(resumed[0]) == bool(resumed[1]):
            return None
        return max((step for step in (*resumed[0], *resumed[1]) if step < self.step), default=None)


def evidence_of(
    reference: RunRecord,
    candidate: RunRecord,
    labels: tuple[str, str],
    stages: Sequence[StageDifference],
    first: Divergence | None,
    differences: Sequence[SettingDifference],
) -> Evidence:
    """The evidence of two records; `labels` name them in messages."""
    return Evidence(
        RunView(reference, labels[0]),
        RunView(candidate, labels[1]),
        stages,
        first,
        {difference.name: difference for difference in differences},
    )
