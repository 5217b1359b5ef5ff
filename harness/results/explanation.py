"""`Explanation`: which fields make the difference of two runs, as found by experiment."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from harness.results.divergence import Divergence

__all__ = ["Contribution", "Cost", "Explanation", "Gap"]


class _Found(BaseModel):
    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")


class Gap(_Found):
    """How far a run is from another over a window of steps."""

    step: int | None = None
    """Where the two first part; None: nowhere in the window."""
    stage: str | None = None
    loss: float | None = None
    """The largest difference of a step's loss."""
    weights: float | None = None
    """Distance of the weights at the window's end, over the length of the way that the weights of
    the run it is measured from had gone by then."""


class Contribution(_Found):
    """What one field does."""

    field: str
    reference: Any
    candidate: Any
    alone: Gap
    """What it does alone, while all other fields that matter are as the reference has them."""
    left: Gap | None = None
    """What is left of the difference once this field and those before it are as the reference has
    them; None where that was not measured."""


class Cost(_Found):
    """What the experiments took, besides the runs to be explained."""

    replays: int = 0
    steps: int = 0
    """Steps trained in them."""
    limit: int = 0
    """The most steps that the search promises to take where fields do not mask one another."""
    reused: int = 0
    """Replays of an earlier try whose records were there."""


class Explanation(_Found):
    """Why two runs part."""

    case: str
    reference: str
    candidate: str
    outcome: Literal["identical", "explained", "code", "unfinished"]
    """Code: with every field as the reference has it the two still part. Unfinished: the search was
    ended before it was done."""
    steps: int
    """How far the fields found were shown to make the two identical."""
    whole: bool = False
    """Whether that is the whole run, its evaluation included."""
    window: tuple[int, int] = (0, 0)
    """First and last of the steps over which gaps are measured; the earliest of them, where fields
    begin to act in different places."""
    differing: tuple[str, ...] = ()
    """Fields and options in which the two differ."""
    gap: Gap | None = None
    """The whole difference of the two, over the window."""
    contributions: tuple[Contribution, ...] = ()
    """The fields that are needed, in the order in which they act."""
    minimal: bool = False
    """Whether none of them can be left out."""
    rest: Divergence | None = None
    """Where the two part though every field is as the reference has it."""
    refused: dict[str, str] = {}
    """Fields that the candidate's loop cannot follow as the reference has them, and its words."""
    notes: tuple[str, ...] = ()
    """What else was met on the way."""
    cost: Cost = Cost()
