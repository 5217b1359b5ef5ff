"""One row of the table of causes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from harness.diagnose.facts import Facts

__all__ = ["Cause", "Row"]


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


@dataclass(frozen=True)
class Row:
    """A cause, and how it is recognised."""

    id: str
    title: str
    explains: tuple[str, ...]
    """Stages in which it shows first where nothing else differs."""
    signature: Callable[[Facts], str | None]
    """The evidence in a sentence, with its numbers; None where the facts do not show the cause."""
    remedy: str
    reference: str = ""
    """Issues of transformers or accelerate, or pages, that tell of it."""
