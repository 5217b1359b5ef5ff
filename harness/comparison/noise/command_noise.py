"""What the records of a command must show before its noise band applies: nothing else states it."""

from __future__ import annotations

import numpy as np

from harness.comparison.noise.mean_shift import ROUNDING
from harness.comparison.noise.series import RunSeries, norms
from harness.comparison.noise.verdict import UNAFFECTED_BY_ROUNDING
from harness.comparison.stages import compare_stages
from harness.errors import RecordError
from harness.results.record import RunRecord

__all__ = ["check_command", "check_draw"]

_LARGEST, _SMALLEST = 4 * ROUNDING, ROUNDING / 4
"""Bounds of the 2-norm of the perturbation, relative to the weights. One unit in the last place is
one to two roundings of a weight; the rest is the error of the sketches."""


def check_command(record: RunRecord) -> None:
    """Raise `RecordError` if draws do not perturb a command as much as its arithmetic rounds.

    Under autocast, or with weights of a lower precision, other kernels differ by more.
    """
    stated = record.header.settings.get("weights.dtype")
    kinds = set(stated) if isinstance(stated, dict) else set()
    computed = set(record.circumstances["compute_dtype"].unique().to_pylist()) - {None, ""}
    other = sorted((kinds | computed) - {"float32"})
    if other or not kinds:
        raise RecordError(
            "the noise band of a command needs weights and arithmetic in float32",
            f"{', '.join(other) or 'unknown'} in {record.folder}",
            "compare the two bit for bit",
        )


def check_draw(reference: RunRecord, draw: RunRecord) -> None:
    """Raise `RecordError` if `draw` differs from `reference` in more than rounding explains, or if
    it was not perturbed."""
    for stage in compare_stages(reference, draw):
        if stage.first is not None and stage.stage in UNAFFECTED_BY_ROUNDING:
            raise RecordError(
                "a draw repeats its command except for rounding",
                f"another {stage.stage} at step {stage.first.step}",
                "set every seed, and let no run read what another wrote; a training whose batches "
                "depend on its weights has no noise band",
            )
    one, two = (RunSeries.of(record).weights[:1] for record in (reference, draw))
    if one.shape != two.shape:
        raise RecordError("a draw has the parameters of its command", draw.folder, "run it again")
    moved = float(norms(two - one)[0, 0] / max(float(norms(one)[0, 0]), np.finfo(np.float64).tiny))
    if not _SMALLEST <= moved <= _LARGEST:
        raise RecordError(
            "a draw begins with the weights of its command, moved by one unit in the last place",
            f"a change of {moved:.2g} of the weights in {draw.folder}",
            "set the seed that its initial weights are drawn with",
        )
