"""Statements about the size of the loss: a factor that the loss and all gradients have."""

from __future__ import annotations

import math
from collections.abc import Iterator

from harness.comparison.causes.run_view import close
from harness.comparison.facts.ground import Ground
from harness.comparison.facts.statement import Statement, against
from harness.spec.case import RunSpec
from harness.units import counted, number

__all__ = ["added_losses", "loss_factor"]

_ABOUT = 0.1
"""Relative. Dropout of other batches changes the mean loss of an update by less, and half of a
window more than by this."""
_SITES = ("backward", "backward")


def loss_factor(ground: Ground) -> Iterator[Statement]:
    """The factor by which the loss and all gradients differ; of loops, causes state it."""
    losses = _losses(ground)
    factor = ground.evidence.gradient_factor
    place = ground.evidence.firsts.get("gradients")
    if losses is None or factor is None or place is None or place.step != ground.step:
        return
    if all(isinstance(run.record.spec, RunSpec) for run in ground.runs):
        return
    one, two = losses
    if abs(factor - 1) < _ABOUT or not close(two / one, factor):
        return
    reference, candidate = (run.label for run in ground.runs)
    counts = {0 if update is None else len(update.rows) for update in ground.updates}
    window = next(iter(counts)) if len(counts) == 1 else 0
    fits = window > 1 and any(close(x, window) for x in (factor, 1 / factor))
    yield Statement(
        "loss_factor",
        f"the loss and all gradients of {candidate} are {number(factor)} times those of "
        f"{reference} at step {ground.step} (loss {against(two, one)})"
        + (f", and both make an update from {window} micro-batches" if fits else ""),
        one,
        two,
        explains=True,
        measured=True,
        sites=_SITES,
    )


def added_losses(ground: Ground) -> Iterator[Statement]:
    """Losses of an update's micro-batches that add up to a multiple of the mean."""
    losses = _losses(ground)
    counts = [
        0 if update is None else len(update.rows) // update.processes for update in ground.updates
    ]
    if ground.cut is None or losses is None or min(counts) < 1 or counts[0] == counts[1]:
        return
    more = int(counts[1] > counts[0])
    ratio = losses[more] / losses[1 - more]
    times = counts[more] / counts[1 - more]
    if abs(ratio / times - 1) > _ABOUT:
        return
    larger, smaller = ground.runs[more].label, ground.runs[1 - more].label
    yield Statement(
        "added_losses",
        f"the loss of an update of {larger}, {number(losses[more])} in "
        f"{counted(counts[more], 'micro-batch')}, is {number(ratio)} times that "
        f"of {smaller}, as if the losses of the micro-batches were added and not averaged",
        losses[0],
        losses[1],
        explains=True,
        measured=True,
        sites=_SITES,
    )


def _losses(ground: Ground) -> tuple[float, float] | None:
    """The losses of the first divergence, if it is one of losses; candidate last."""
    first = ground.evidence.first
    if first is None or first.stage != "loss":
        return None
    one, two = first.reference, first.candidate
    if not all(isinstance(x, float) and math.isfinite(x) and x > 0 for x in (one, two)):
        return None
    return one, two
