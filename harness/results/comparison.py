"""What is known of one pair of runs: outcome, first divergence, causes, findings, doubts."""

from __future__ import annotations

from typing import Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from harness.results.divergence import Divergence, StageDifference
from harness.results.localization import Localization
from harness.results.noise import Noise
from harness.results.settings import SettingDifference
from harness.spec.recipe import Detail

__all__ = ["Cause", "Comparison", "Finding", "Outcome", "SeedOutcome", "incomparable"]


class Cause(BaseModel):
    """Why two runs differ, where it is known."""

    model_config = ConfigDict(frozen=True)

    id: str
    title: str
    evidence: str
    remedy: str
    reference: str = ""
    """Where more is said of it."""
    explains_first: bool = True
    """Whether the first divergence is its doing; else it is another difference of the two."""


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


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")


class Finding(_Result):
    """One metric on both sides."""

    metric: str
    unit: str
    outcome: Outcome
    reference: float | None
    candidate: float | None
    ratio: float | None = None
    """Candidate over reference."""
    interval: tuple[float, float] | None = None
    """Over several seeds: of the difference of the means, candidate - reference, at 90%."""
    margin: float | None = None
    """The largest such difference that is of no consequence."""
    spread: tuple[float, float] | None = None
    """Over several seeds: the standard deviation of each side."""
    needed: int | None = None
    """Seeds that an answer would take, where these gave none; in a bench, sessions."""
    confidence: float | None = None
    """In a bench: of the interval, which is there one of the ratio."""
    smallest_visible: float | None = None
    """In a bench: the smallest true ratio above 1 that it would have called slower, four times in
    five."""
    needed_s: float | None = None
    """In a bench: seconds that an answer would take, where it gave none."""


class SeedOutcome(_Result):
    """What the comparison value by value found for one seed of several."""

    seed: int
    outcome: Outcome
    first_divergence: Divergence | None = None
    left_out: str = ""
    """Why this seed is not among those whose metrics are judged."""


class Comparison(_Result):
    """What is known about one pair of runs."""

    case: str
    reference: str
    candidate: str
    outcome: Outcome
    steps: int
    """Steps that both took."""
    first_divergence: Divergence | None = None
    stages: tuple[StageDifference, ...] = ()
    settings: tuple[SettingDifference, ...] = ()
    """In what the two were set up otherwise, before their first step."""
    causes: tuple[Cause, ...] = ()
    findings: tuple[Finding, ...] = ()
    doubts: tuple[str, ...] = ()
    """What keeps the outcome from being firmer, and what would resolve it."""
    note: str = ""
    """Why the two differ on this case, where that was known before."""
    seeds: tuple[SeedOutcome, ...] = ()
    """Of a comparison over several seeds, each of them."""
    test: str = ""
    """Of a comparison over several seeds, how the metrics are judged."""
    noise: Noise | None = None
    """The two against the noise of the reference, where that was asked for."""
    equality: Outcome | None = None
    """In a bench: whether the two compute the same, while `outcome` tells of their speeds."""
    localization: Localization | None = Field(
        None, validation_alias=AliasChoices("localization", "dig")
    )
    """The module in which the two first differ, if it was requested. Reports written before 0.2.0
    call it `dig`."""
    detail: Detail = "full"
    """How much was compared: the lower detail of the two records."""
    left_out: tuple[str, ...] = ()
    """Stages that were not compared since the detail leaves them out."""

    @property
    def restriction(self) -> str:
        """What a reader must be told with the outcome; empty where everything was recorded."""
        if not self.left_out:
            return ""
        return f"at detail {self.detail}, which leaves out {', '.join(self.left_out)}"


def incomparable(case: str, reference: str, candidate: str, why: str) -> Comparison:
    """The comparison of a pair of which one side is not there."""
    return Comparison(
        case=case,
        reference=reference,
        candidate=candidate,
        outcome="incomparable",
        steps=0,
        doubts=(why,),
    )
