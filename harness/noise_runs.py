"""Which draws of a reference a case needs for its noise, and its pairs judged against them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from harness.compare import Comparison
from harness.envelope import Envelope
from harness.errors import RecordError, SpecError
from harness.noise_rung import unjudged, with_noise
from harness.record import RunRecord
from harness.spec import Perturbation, RunSpec

__all__ = ["Judge", "draw_specs"]

Rounding = Literal["weights", "bf16"]


def draw_specs(specs: Sequence[RunSpec]) -> list[RunSpec]:
    """Perturbed runs of the first spec, by which its pairs with the others can be judged.

    Empty where the case asks for none, or there is no pair. Raises `SpecError` where the reference
    cannot be perturbed as that takes.
    """
    reference, *others = specs
    if reference.case.noise is None:
        return []
    kinds = dict.fromkeys(_rounding(reference, other) for other in others)
    if "bf16" in kinds and reference.recipe.compile is not None:
        raise SpecError(
            "bf16 is judged against a first loop that is not compiled",
            f"compile={reference.recipe.compile}",
            "set compile=none, and compile in an arm",
        )
    return [
        reference.model_copy(update={"perturbation": Perturbation(draw=draw, rounding=kind)})
        for kind in kinds
        if kind is not None
        for draw in range(1, reference.case.noise + 1)
    ]


def _rounding(one: RunSpec, two: RunSpec) -> Rounding | None:
    """By which perturbation the noise between two runs is drawn; None: by none that is here.

    Under autocast other kernels round their passes otherwise in the low precision, which a change
    of weights by one ulp of fp32 shows next to nothing of: in bf16, eager attention against SDPA
    stood out of such draws by 63 times their bound.
    """
    precisions = {one.recipe.precision, two.recipe.precision}
    kernels = [(spec.recipe.attention, spec.recipe.compile) for spec in (one, two)]
    if precisions == {"fp32"} or (len(precisions) == 1 and kernels[0] == kernels[1]):
        return "weights"
    return "bf16" if precisions <= {"fp32", "bf16"} else None


class Judge:
    """Judges the pairs of one case; each envelope is made when it is first asked for."""

    def __init__(self, reference: RunRecord | None, draws: Iterable[RunRecord]) -> None:
        """`reference`: the first run of the case, None where it is missing."""
        self._reference = reference
        self._draws = list(draws)
        self._envelopes: dict[Rounding, Envelope | str] = {}

    def __call__(self, comparison: Comparison, one: RunRecord, two: RunRecord) -> Comparison:
        """`comparison` of `one` and `two`, judged where it is different bit for bit.

        Never raises for what stands in the records.
        """
        if comparison.outcome != "different":
            return comparison
        reference = self._reference
        if reference is None:
            return unjudged(comparison, "the first run is missing; run it")
        if reference.spec.recipe.precision not in {r.spec.recipe.precision for r in (one, two)}:
            return unjudged(
                comparison, "neither ran at the precision of the first run; make one of them first"
            )
        kind = _rounding(one.spec, two.spec)
        if kind is None:
            return unjudged(comparison, "there are no draws for fp16")
        if kind not in self._envelopes:
            self._envelopes[kind] = self._made(reference, kind)
        envelope = self._envelopes[kind]
        if isinstance(envelope, str):
            return unjudged(comparison, envelope)
        return with_noise(comparison, one, two, envelope)

    def _made(self, reference: RunRecord, kind: Rounding) -> Envelope | str:
        """The envelope, or why there is none."""
        draws = [
            draw
            for draw in self._draws
            if draw.spec.perturbation and draw.spec.perturbation.rounding == kind
        ]
        try:
            return Envelope(reference, draws, kind)
        except RecordError as error:
            return str(error)
