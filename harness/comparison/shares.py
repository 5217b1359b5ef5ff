"""Which process holds the share in which a tensor differs, if both runs have the same layout."""

from __future__ import annotations

import pyarrow.compute as pc

from harness.comparison.alignment import Alignment
from harness.results.arrow import int32
from harness.results.divergence import Divergence
from harness.results.record import RunRecord
from harness.results.shares import column_of

__all__ = ["with_rank_of_share"]

_COLUMNS = {
    "initial_weights": "weight",
    "gradients": "gradient",
    "weights": "weight",
    "optimizer_state": "optimizer_state",
}

Shares = dict[tuple[int, str, int], tuple[int | None, str | None]]


def with_rank_of_share(both: Alignment, first: Divergence) -> Divergence:
    """The divergence with the first rank whose share of the tensor differs.

    Unchanged if every share differs, or if the runs have other layouts: then no rank is at fault.
    """
    if first.rank is not None or first.tensor is None:
        return first
    one, two = (_shares(record, first) for record in (both.reference, both.candidate))
    if not one or one.keys() != two.keys():
        return first
    ranks = {rank for rank, _, _ in one}
    differing = {key[0] for key in one if one[key] != two[key]}
    return (
        first.model_copy(update={"rank": min(differing)})
        if 0 < len(differing) < len(ranks)
        else first
    )


def _shares(record: RunRecord, at: Divergence) -> Shares:
    """The sums of one tensor's shares in one stage and step, by rank, part and offset."""
    if not record.header.in_shares:
        return {}
    trace = record.trace("shares")
    trace = trace.filter(pc.equal(trace["step"], int32(at.step)))
    names = ("rank", "tensor", "part", "offset", "sum", "text")
    found = {}
    for rank, tensor, part, offset, number, text in zip(
        *(trace[name].to_pylist() for name in names), strict=True
    ):
        if tensor == at.tensor and column_of(part) == _COLUMNS[at.stage]:
            found[rank, part, offset] = number, text
    return found
