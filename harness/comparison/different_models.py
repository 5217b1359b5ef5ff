"""Says that two runs train different models, where no tensor of one is a tensor of the other."""

from __future__ import annotations

from collections.abc import Sequence

from harness.comparison.names import NameMatch, named_tensors
from harness.results.comparison import Fact
from harness.results.record import RunRecord

__all__ = ["different_models", "explaining_nothing"]


def different_models(match: NameMatch, reference: RunRecord, candidate: RunRecord) -> str:
    """A sentence; empty if the two have a tensor in common, or may have one.

    Tensors are matched by name and by initial value, so both must be recorded. Only another number
    of parameters proves another model: the names and the seed of one model can differ, too.
    """
    tensors = named_tensors(reference), named_tensors(candidate)
    if not match.nothing_in_common or any(None in each.values() for each in tensors):
        return ""
    one, two = reference.header.parameters, candidate.header.parameters
    if one != two:
        return (
            f"the two runs train different models: {one:,} and {two:,} parameters, no tensor in "
            "common"
        )
    return (
        "no tensor of the two models has the same name or initial value; if they are one model, "
        "match its tensors with --rename OLD=NEW"
    )


def explaining_nothing(facts: Sequence[Fact]) -> tuple[Fact, ...]:
    """The settings in which two models differ, of which none explains another model."""
    return tuple(fact.model_copy(update={"explains_first": False}) for fact in facts)
