"""Compares the losses that loops log, where their gradients are equal."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.comparison.alignment import Alignment
from harness.results.arrow import as_numpy
from harness.results.divergence import Divergence, ulp_distance
from harness.results.levels import not_recorded

__all__ = ["LOGGED", "logged_loss"]

LOGGED = "the loss that the loop logs, not the loss that it computes"
"""The detail of a divergence in the logged loss."""


def logged_loss(both: Alignment, idle_steps: frozenset[int]) -> Divergence | None:
    """The first step at which the logged losses differ although the gradients are equal.

    A loop sums the losses of a step in single precision, in any order. So each micro-batch allows
    a difference of half a unit in the last place. From the first step with different gradients on,
    the logged losses differ as a consequence and are not compared.
    """
    tables = both.reference.logged, both.candidate.logged
    if not all(len(table) for table in tables):
        return None
    until = math.inf
    if "gradients" not in not_recorded(both.reference, both.candidate):
        differing = both.steps.differing("gradients")
        differing = differing[~np.isin(both.steps.steps[differing], list(idle_steps))]
        until = int(both.steps.steps[differing[0]]) if len(differing) else math.inf
    # The last loss logged for a step counts. A run that logs more of them for a step than the other
    # logs one without an update; then the first counts.
    steps, *rows = _logged_once(*(as_numpy(table["step"]) for table in tables))
    logged = [(as_numpy(table["step"]), as_numpy(table["loss"])) for table in tables]
    one, two = (losses[of] for (_, losses), of in zip(logged, rows, strict=True))
    trained = as_numpy(both.reference.micro_batches["step"])
    micro_batch_counts = np.bincount(trained, minlength=int(steps.max(initial=0)) + 1)
    slack = np.maximum(micro_batch_counts[steps], 1) * 2.0**-23
    with np.errstate(invalid="ignore"):
        near = np.abs(one - two) <= slack * np.maximum(np.abs(one), np.abs(two))
        near &= np.isfinite(one) & np.isfinite(two)
    nan = np.isnan(one) & np.isnan(two)
    found = np.flatnonzero(~(near | nan | (one == two)) & (steps < until))
    if not len(found):
        return None
    step, pair = int(steps[found[0]]), (float(one[found[0]]), float(two[found[0]]))
    return Divergence(
        step=step,
        stage="loss",
        reference=pair[0],
        candidate=pair[1],
        max_ulp=ulp_distance(*pair),
        detail=LOGGED,
    )


def _logged_once(
    one: npt.NDArray[Any], two: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """The steps for which both runs log a loss, and the place of that loss in each run."""
    found = [np.unique(steps, return_index=True, return_counts=True) for steps in (one, two)]
    steps, ours, theirs = np.intersect1d(found[0][0], found[1][0], return_indices=True)
    alike = found[0][2][ours] == found[1][2][theirs]
    places = []
    for of_run, (_, first, _), at in zip((one, two), found, (ours, theirs), strict=True):
        last = len(of_run) - 1 - np.unique(of_run[::-1], return_index=True)[1]
        places.append(np.where(alike, last[at], first[at]))
    return steps, places[0], places[1]
