"""One row of the table of causes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.comparison.causes.evidence import Evidence

__all__ = ["CauseRule"]


@dataclass(frozen=True)
class CauseRule:
    """A cause, and how it is recognised."""

    id: str
    title: str
    explains: tuple[str, ...]
    """Stages in which it shows first where nothing else differs."""
    signature: Callable[[Evidence], str | None]
    """The evidence in a sentence, with its numbers; None where the facts do not show the cause."""
    remedy: str
    reference: str = ""
    """Issues of transformers or accelerate, or pages, that tell of it."""
