"""One statement about a setting of two runs, before it is known which statements explain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.report.text.values import distinct, shown
from harness.units import number

__all__ = ["Statement", "against", "plain"]


@dataclass(frozen=True)
class Statement:
    """A setting that differs. Its values are those of the two records."""

    id: str
    text: str
    """The candidate's value against the reference's, in plain words."""
    reference: Any
    candidate: Any
    explains: bool
    """Whether it belongs to the first stage that differs, and can have made that difference."""
    rounds: bool = False
    """Whether it only changes how numbers are rounded. Then it explains if nothing else does."""
    measured: bool = False
    """Whether it is read from values alone: then a line that is the same in both shows nothing."""
    sites: tuple[str, str] = ("", "")
    """Names in `Header.sites` of the lines that set it: in the reference, in the candidate."""


def against(candidate: Any, reference: Any) -> str:
    """'0.2 against 0.1', with as many digits as show the difference; an integer has them all."""
    if isinstance(candidate, int) and isinstance(reference, int):
        return f"{plain(candidate)} against {plain(reference)}"
    if _is_number(candidate) and _is_number(reference):
        one, two = distinct(float(candidate), float(reference))
        if one == two:
            one, two = repr(candidate), repr(reference)
        return f"{one} against {two}"
    return f"{plain(candidate)} against {plain(reference)}"


def plain(value: Any) -> str:
    """A value as a reader writes it: on and off, not True and False."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return number(value) if isinstance(value, float) else shown(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
