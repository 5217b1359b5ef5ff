"""One rule of the table of causes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.comparison.causes.evidence import Evidence

__all__ = ["CauseRule"]


@dataclass(frozen=True)
class CauseRule:
    """A cause, and the signature that recognises it."""

    id: str
    title: str
    explains: tuple[str, ...]
    """Stages in which this cause can be the first divergence."""
    signature: Callable[[Evidence], str | None]
    """Returns the evidence as a sentence with its numbers, or None without a match."""
    remedy: str
    reference: str = ""
    """Issues of transformers or accelerate, or pages, that describe the cause."""
    needs_recipe: bool = True
    """Whether it reads a recipe, or is true only of a loop that follows one. Such a rule is not
    applied to a pair with the record of a command."""
