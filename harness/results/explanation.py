"""`Explanation`: the recipe fields that cause the difference of two runs, found by replays."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from harness.results.base import Result
from harness.results.divergence import Divergence

__all__ = ["Contribution", "Cost", "Explanation", "Gap"]


class Gap(Result):
    """The distance of two runs over a window of steps."""

    step: int | None = None
    """The step of the first divergence; None if there is none in the window."""
    stage: str | None = None
    """The stage of the first divergence."""
    loss: float | None = None
    """The largest difference of the loss of a step."""
    weights: float | None = None
    """Distance of the weights at the end of the window, relative to the movement until then of the
    weights of the run from which the distance is measured."""


class Contribution(Result):
    """The effect of one field."""

    field: str
    """Name of the recipe field or workload option."""
    reference: Any
    """Its value in the reference."""
    candidate: Any
    """Its value in the candidate."""
    alone: Gap
    """The effect of this field alone, with all other relevant fields as in the reference."""
    left: Gap | None = None
    """The remaining difference with this field and those before it as in the reference; None if it
    was not measured."""


class Cost(Result):
    """The cost of the replays, without the runs to be explained."""

    replays: int = 0
    """Number of replays."""
    steps: int = 0
    """Steps trained in replays."""
    limit: int = 0
    """Upper bound of `steps` if no field masks another."""
    reused: int = 0
    """Replays whose records an earlier attempt had left."""


class Explanation(Result):
    """Why two runs differ."""

    case: str
    """Name of the case."""
    reference: str
    """Label of the reference run."""
    candidate: str
    """Label of the candidate run."""
    outcome: Literal["identical", "explained", "code", "unfinished"]
    """`code`: the two differ even with every field as in the reference. `unfinished`: the search
    ended early."""
    steps: int
    """Number of steps over which replays showed that the fields make the two identical."""
    whole: bool = False
    """Whether that is the whole run with its evaluation."""
    window: tuple[int, int] = (0, 0)
    """First and last step of the window of the distances; the earliest window, if fields begin to
    act at different steps."""
    differing: tuple[str, ...] = ()
    """Recipe fields and workload options in which the two differ."""
    gap: Gap | None = None
    """The whole difference of the two over the window."""
    contributions: tuple[Contribution, ...] = ()
    """The required fields, in the order in which they act."""
    minimal: bool = False
    """Whether each of these fields is required."""
    rest: Divergence | None = None
    """The divergence that remains with every field as in the reference."""
    refused: dict[str, str] = Field(default_factory=dict)
    """Fields whose reference value the candidate's loop refuses, with its message."""
    notes: tuple[str, ...] = ()
    """Further observations of the search."""
    cost: Cost = Cost()
    """The cost of the search."""
