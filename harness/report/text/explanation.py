"""An explanation in words: one sentence first, then rows for a table, then what it cost."""

from __future__ import annotations

from typing import Any

from harness.results.explanation import Explanation

__all__ = ["caption", "lines", "sentence"]

_MANY = 6  # fields that a sentence names; of more it gives the number


def sentence(found: Explanation) -> str:
    """What the experiments found."""
    pair = f"{found.candidate} against {found.reference}"
    names = [one.field for one in found.contributions]
    if found.outcome == "identical":
        return f"{pair}: the two compute the same, so there is nothing to explain"
    if found.outcome == "explained":
        much = "the whole difference comes from"
        where = f"bit for bit, at all {found.steps} steps"
        return (
            f"{pair}: {much} {_listed(names)}; with {_those(names)} as {found.reference} has "
            f"{_them(names)} the two are identical, {where}{_others(found)}"
        )
    if found.outcome == "code":
        return f"{pair}: {_code(found, names)}"
    known = "no field is known to matter"
    if names:
        known = f"{_listed(names)} {'is' if len(names) == 1 else 'are'} enough up to step "
        known += f"{found.steps}" if found.steps else "that was tried"
        if not found.minimal:
            known += ", and perhaps fewer would be"
    return f"{pair}: not finished; {known}"


def _code(found: Explanation, names: list[str]) -> str:
    rest = found.rest
    assert rest is not None  # that is what the outcome says
    place = f"step {rest.step} in {rest.stage}"
    if rest.tensor is not None:
        place += f" of {rest.tensor}"
    if not found.differing:
        return (
            f"no field of the recipe explains it, since both follow the same one; they part at "
            f"{place}, so look at the code there"
        )
    said = (
        f"with {_all(found)} as {found.reference} has {_them(found.differing)} they still part at "
        f"{place}, so look at the code there"
    )
    if names:
        return f"{said}; up to step {found.steps} the difference comes from {_listed(names)}"
    return f"no field of the recipe explains it; {said}"


def _all(found: Explanation) -> str:
    count = len(found.differing) - len(found.refused)
    if count == 1:
        return "the one field in which they differ"
    return f"{'both' if count == 2 else f'all {count}'} fields in which they differ"


def _others(found: Explanation) -> str:
    """Fields that differ and do nothing."""
    count = len(found.differing) - len(found.contributions)
    if not count:
        return ""
    if count == 1:
        return "; one more field differs and does nothing"
    return f"; {count} more fields differ and do nothing"


def _listed(names: list[str]) -> str:
    if len(names) > _MANY:
        return f"{len(names)} fields"
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _those(names: list[str]) -> str:
    return "it" if len(names) == 1 else "these"


def _them(names: Any) -> str:
    return "it" if len(names) == 1 else "them"


def caption(found: Explanation) -> str:
    """What the table says, and how it was found."""
    first, last = found.window
    return (
        f"By experiment, steps {first} to {last}. Alone: that field as {found.candidate} has it, "
        f"all others as {found.reference} has them; still left: the fields down to that row as "
        f"{found.reference} has them. Loss: largest difference of a step; weights: distance at the "
        "end, as a share of the way that training had moved them."
    )


def lines(found: Explanation) -> list[str]:
    """What else was met, and what the experiments took."""
    loop = found.candidate
    refused = [f"{name} was left as {loop} has it: {why}" for name, why in found.refused.items()]
    return [*refused, *found.notes, _cost(found)]


def _cost(found: Explanation) -> str:
    spent = found.cost
    text = f"Cost: {spent.replays} replays, {spent.steps} steps"
    if spent.limit and found.outcome == "explained":
        text += f", of at most {spent.limit}"
    if spent.reused:
        text += f"; {spent.reused} replays of an earlier try were there"
    return text
