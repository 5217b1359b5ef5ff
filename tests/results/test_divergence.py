"""Which of several divergences comes first."""

from __future__ import annotations

from typing import Any

import pytest

from harness.results.divergence import Divergence


def divergence(stage: str, micro_batch: int | None, reference: Any = 1) -> Divergence:
    return Divergence(
        step=2, stage=stage, micro_batch=micro_batch, reference=reference, candidate=2
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (divergence("loss", 1), divergence("rng", 2)),
        (divergence("rng", 1), divergence("loss", 1)),
        (divergence("loss", 3), divergence("gradients", None)),
        (divergence("loss", 1), divergence("data_order", 2)),
        (divergence("data_order", 3, reference=None), divergence("loss", 1)),
        (divergence("gradients", None), divergence("weights", None)),
    ],
    ids=[
        "an earlier micro-batch",
        "an earlier stage",
        "forward passes come first",
        "other rows later in the step",
        "rows of one run alone",
        "after the forward passes",
    ],
)
def test_places_are_in_causal_order(first: Divergence, second: Divergence) -> None:
    """Within one step; any place of an earlier step comes before both."""
    assert first.place < second.place
    earlier = divergence("evaluation", None).model_copy(update={"step": 1})
    assert earlier.place < first.place
