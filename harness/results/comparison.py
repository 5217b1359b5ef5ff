"""The comparison of two runs: outcome, first divergence, causes, findings, doubts."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AliasChoices, Field

from harness.results.base import Result
from harness.results.divergence import Divergence, StageDifference
from harness.results.localization import Localization
from harness.results.noise import Noise
from harness.results.settings import SettingDifference
from harness.spec.recipe import Detail

__all__ = ["Cause", "Comparison", "Fact", "Finding", "Outcome", "SeedOutcome", "incomparable"]


class Cause(Result):
    """A cause of a difference, named only where the evidence excludes the alternatives.

    Causes that leave the same records are one entry, which lists them in `consistent_with`.
    """

    id: str
    """Stable name of the cause."""
    title: str
    """The cause in a few words."""
    evidence: str
    """What the records show, in a sentence with its numbers."""
    remedy: str
    """What removes the difference."""
    reference: str = ""
    """Issues or pages that describe the cause."""
    explains_first: bool = True
    """Whether it explains the first divergence; if not, it is another difference."""
    consistent_with: tuple[str, ...] = ()
    """Explanations that the records do not distinguish; empty if the cause is the only one."""


class Fact(Result):
    """A recorded setting in which the two runs differ, in plain words."""

    id: str
    """Stable name of the setting."""
    text: str
    """The setting with both values, the candidate's first."""
    reference: Any
    """Its value in the reference."""
    candidate: Any
    """Its value in the candidate."""
    reference_site: str = ""
    """`FILE:LINE` of the code that set it in the reference; empty if it is not known."""
    candidate_site: str = ""
    """`FILE:LINE` of the code that set it in the candidate; empty if it is not known."""
    reference_source: str = ""
    """That line of the reference; empty if it is not known."""
    candidate_source: str = ""
    """That line of the candidate; empty if it is not known."""
    explains_first: bool = True
    """Whether it belongs to the stage of the first divergence; if not, it also differs."""


Outcome = Literal[
    "identical",
    "within_noise",
    "different",
    "inconclusive",
    "incomparable",
    "equivalent",
    "faster",
    "slower",
]


class Finding(Result):
    """One metric of both runs."""

    metric: str
    """Name of the metric."""
    unit: str
    """Base unit; empty for a number without a unit."""
    outcome: Outcome
    """The outcome of this metric."""
    reference: float | None
    """Value of the reference; over several seeds, the mean."""
    candidate: float | None
    """Value of the candidate; over several seeds, the mean."""
    ratio: float | None = None
    """Candidate / reference."""
    interval: tuple[float, float] | None = None
    """Over several seeds: 90% interval of the difference of the means, candidate - reference. In a
    benchmark: interval of the ratio, at the level `confidence`."""
    margin: float | None = None
    """The largest difference that is irrelevant."""
    spread: tuple[float, float] | None = None
    """Over several seeds: the standard deviations of reference and candidate."""
    needed: int | None = None
    """Number of seeds (in a benchmark: sessions) that would give an outcome, if there is none."""
    confidence: float | None = None
    """In a benchmark: the confidence level of `interval`."""
    smallest_visible: float | None = None
    """In a benchmark: the smallest true ratio above 1 that would be `slower` four times in five."""
    needed_s: float | None = None
    """In a benchmark: seconds that would give an outcome, if there is none."""


class SeedOutcome(Result):
    """The comparison value by value of one seed."""

    seed: int
    """The seed."""
    outcome: Outcome
    """The outcome for this seed."""
    first_divergence: Divergence | None = None
    """The first divergence for this seed."""
    left_out: str = ""
    """Why the metrics of this seed are not compared; empty if they are."""


class Comparison(Result):
    """The comparison of two runs, or of two loops over several seeds."""

    case: str
    """Name of the case."""
    reference: str
    """Label of the reference run."""
    candidate: str
    """Label of the candidate run."""
    outcome: Outcome
    """The outcome of the comparison."""
    steps: int
    """Number of steps that both runs made."""
    first_divergence: Divergence | None = None
    """The earliest step, and within it the earliest stage, whose values differ."""
    stages: tuple[StageDifference, ...] = ()
    """The differences of each recorded stage, in causal order."""
    settings: tuple[SettingDifference, ...] = ()
    """Settings that differ before the first step."""
    facts: tuple[Fact, ...] = ()
    """Settings that differ, in plain words; first those that explain the first divergence."""
    causes: tuple[Cause, ...] = ()
    """Causes whose signatures match; first those that explain the first divergence."""
    unnamed: str = ""
    """Why no cause is inferred from the values of this pair; empty if causes are looked for."""
    findings: tuple[Finding, ...] = ()
    """The metrics of both runs."""
    doubts: tuple[str, ...] = ()
    """Doubts about the outcome, and what would resolve them."""
    note: str = ""
    """A known reason why the two differ on this case."""
    seeds: tuple[SeedOutcome, ...] = ()
    """Over several seeds: the comparison of each seed."""
    test: str = ""
    """Over several seeds: the statistical test of the metrics."""
    noise: Noise | None = None
    """The comparison with the noise of the reference, if it was requested."""
    equality: Outcome | None = None
    """In a benchmark: whether the two compute the same values; `outcome` is about their speeds."""
    localization: Localization | None = Field(
        None, validation_alias=AliasChoices("localization", "dig")
    )
    """The module in which the two first differ, if it was requested. Reports written before 0.2.0
    call it `dig`."""
    detail: Detail = "full"
    """The lower detail of the two records, which limits what was compared."""
    left_out: tuple[str, ...] = ()
    """Stages that were not compared because the detail leaves them out."""
    not_recorded: tuple[str, ...] = ()
    """Stages that were not compared because a command does not record them, such as `evaluation`.
    They are no doubt about what was compared."""
    every: int = 1
    """Gradients, weights and optimizer state were compared at step 1 and at each multiple of this
    number."""
    alignment: tuple[str, ...] = ()
    """How the two were aligned, one sentence each: other names of parameters, another division into
    micro-batches, other names of cases."""
    different_models: str = ""
    """That no tensor of one run is a tensor of the other; empty if they have one in common."""

    @property
    def restriction(self) -> str:
        """The restriction to report with the outcome; empty if every stage was recorded."""
        parts = []
        if self.left_out:
            parts.append(f"at detail {self.detail}, which leaves out {', '.join(self.left_out)}")
        if self.every > 1:
            parts.append(f"with gradients and weights at step 1 and every {self.every} steps only")
        if self.not_recorded:
            names = ", ".join(self.not_recorded)
            parts.append(f"without {names} (which the trace of a command does not record)")
        return ", ".join(parts)


def incomparable(case: str, reference: str, candidate: str, why: str) -> Comparison:
    """A comparison that cannot be made, with the reason `why`."""
    return Comparison(
        case=case,
        reference=reference,
        candidate=candidate,
        outcome="incomparable",
        steps=0,
        doubts=(why,),
    )
