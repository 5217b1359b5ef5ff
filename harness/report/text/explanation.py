"""An explanation by experiment, in sentences: the result, the table's caption, the cost."""

from __future__ import annotations

from harness.results.explanation import Explanation

__all__ = ["caption", "lines", "sentence"]

_NAMED = 6
"""Fields that a sentence names; of more it gives the number."""


def sentence(found: Explanation) -> str:
    """What the experiments found."""
    pair = f"{found.candidate} against {found.reference}"
    names = [one.field for one in found.contributions]
    if found.outcome == "identical":
        return f"{pair}: both compute the same values, so there is nothing to explain"
    if found.outcome == "explained":
        return (
            f"{pair}: the whole difference comes from {_listed(names)}; with {found.reference}'s "
            f"{_values(names)} the two are identical, bit for bit, at all {found.steps} steps"
            f"{_without_effect(found)}"
        )
    if found.outcome == "code":
        return f"{pair}: {_code(found, names)}"
    return f"{pair}: not finished; {_unfinished(found, names)}"


def _unfinished(found: Explanation, names: list[str]) -> str:
    if not names:
        return "no field is known to matter"
    verb = "explains" if len(names) == 1 else "explain"
    if not found.steps:
        text = f"how far {_listed(names)} {verb} the difference is not known"
    else:
        text = f"{_listed(names)} {verb} the difference up to step {found.steps}"
    return text if found.minimal else f"{text}; fewer fields may suffice"


def _code(found: Explanation, names: list[str]) -> str:
    rest = found.rest
    assert rest is not None  # that is what the outcome says
    place = f"step {rest.step} in {rest.stage}"
    if rest.tensor is not None:
        place += f" of {rest.tensor}"
    if not found.differing:
        return (
            "no recipe field explains the difference, because the recipes are the same; the two "
            f"first differ at {place}: inspect the code there"
        )
    rest_of_it = (
        f"with {found.reference}'s {_differing_values(found)} the two still differ, first at "
        f"{place}: inspect the code there"
    )
    if names:
        return f"{rest_of_it}; up to step {found.steps} the difference comes from {_listed(names)}"
    return f"no recipe field explains the difference; {rest_of_it}"


def _differing_values(found: Explanation) -> str:
    count = len(found.differing) - len(found.refused)
    if count == 1:
        return "value of the differing field"
    return f"values of {'both' if count == 2 else f'all {count}'} differing fields"


def _without_effect(found: Explanation) -> str:
    """The fields that differ and have no effect."""
    count = len(found.differing) - len(found.contributions)
    if not count:
        return ""
    if count == 1:
        return "; one more field differs, without effect"
    return f"; {count} more fields differ, without effect"


def _listed(names: list[str]) -> str:
    if len(names) > _NAMED:
        return f"{len(names)} fields"
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _values(names: list[str]) -> str:
    return "value for it" if len(names) == 1 else "values for them"


def caption(found: Explanation) -> str:
    """What the columns of the table mean, and over which steps they were measured."""
    first, last = found.window
    return (
        f"Found by experiment, steps {first} to {last}. Alone: this field has {found.candidate}'s "
        f"value, all others have {found.reference}'s. Remaining: this field and those of all rows "
        f"above have {found.reference}'s values. Loss: largest difference at a step. Weights: "
        "distance at the end, as a fraction of the distance that training moved them."
    )


def lines(found: Explanation) -> list[str]:
    """Fields that could not be changed, notes, and the cost of the experiments."""
    kept = f"keeps {found.candidate}'s value"
    refused = [f"{name} {kept}: {why}" for name, why in found.refused.items()]
    return [*refused, *found.notes, _cost(found)]


def _cost(found: Explanation) -> str:
    spent = found.cost
    text = f"Cost: {spent.replays} replays, {spent.steps} steps"
    if spent.limit and found.outcome == "explained":
        text = f"Cost: {spent.replays} replays, {spent.steps} of at most {spent.limit} steps"
    if spent.reused:
        text += f"; {spent.reused} replays reused from an earlier attempt"
    return text
