"""What a command printed, two records to give to it, and a fault of one of them."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.support.records import Draft, Spoil, draft

__all__ = ["Answer", "Ask", "differ", "pair"]


class Answer(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


Ask = Callable[..., Answer]


def pair(folder: Path, spoil: Spoil = lambda made: None) -> tuple[Path, Path]:
    """Two records, the second spoiled."""
    candidate = draft("trainer")
    spoil(candidate)
    return draft().write(folder / "one").folder, candidate.write(folder / "two").folder


def differ(made: Draft) -> None:
    made.step(3)["weights"] ^= 1
