"""One rule of the table of causes: what recognises it, and what excludes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.comparison.causes.evidence import Evidence

__all__ = ["CauseRule", "CounterEvidence", "OneOf"]


@dataclass(frozen=True)
class CounterEvidence:
    """Another explanation of the same difference, and the records that show it."""

    alternative: str
    """The other explanation in a few words."""
    records: str
    """The parts of the two records that are read."""
    holds: Callable[[Evidence], bool]
    """Whether the records show it. Then the cause is not named."""


@dataclass(frozen=True)
class OneOf:
    """Evidence that fits several explanations, which leave the same records."""

    evidence: str
    possible: tuple[str, ...]
    """The explanations, at least two."""


@dataclass(frozen=True)
class CauseRule:
    """A cause, the signature that recognises it, and the counter-evidence that excludes it."""

    id: str
    title: str
    explains: tuple[str, ...]
    """Stages in which this cause can be the first divergence."""
    signature: Callable[[Evidence], str | OneOf | None]
    """Returns the evidence as a sentence with its numbers, or None without a match."""
    remedy: str
    reference: str = ""
    """Issues of transformers or accelerate, or pages, that describe the cause."""
    needs_recipe: bool = True
    """Whether it reads a recipe, or is true only of a loop that follows one. Such a rule is not
    applied to a pair with the record of a command."""
    excluded_by: tuple[CounterEvidence, ...] = ()
    """What must not hold for the cause to be named."""
