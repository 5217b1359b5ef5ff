"""Which draws of a reference a case needs for its noise, and its pairs judged against them."""

from __future__ import annotations

from collections.abc import Iterable

from harness.comparison.noise.band import NoiseBand
from harness.comparison.noise.verdict import apply_noise, noise_unavailable
from harness.errors import RecordError
from harness.results.comparison import Comparison
from harness.results.record import RunRecord
from harness.spec.expand import Rounding, _rounding

__all__ = ["CaseNoise"]


class CaseNoise:
    """Judges the pairs of one case; each envelope is made when it is first asked for."""

    def __init__(self, reference: RunRecord | None, draws: Iterable[RunRecord]) -> None:
        """`reference`: the first run of the case, None where it is missing."""
        self._reference = reference
        self._draws = list(draws)
        self._envelopes: dict[Rounding, NoiseBand | str] = {}

    def __call__(self, comparison: Comparison, one: RunRecord, two: RunRecord) -> Comparison:
        """`comparison` of `one` and `two`, judged where it is different bit for bit.

        Never raises for what stands in the records.
        """
        if comparison.outcome != "different":
            return comparison
        reference = self._reference
        if reference is None:
            return noise_unavailable(comparison, "the first run is missing; run it")
        if reference.spec.recipe.precision not in {r.spec.recipe.precision for r in (one, two)}:
            return noise_unavailable(
                comparison, "neither ran at the precision of the first run; make one of them first"
            )
        kind = _rounding(one.spec, two.spec)
        if kind is None:
            return noise_unavailable(comparison, "there are no draws for fp16")
        if kind not in self._envelopes:
            self._envelopes[kind] = self._made(reference, kind)
        envelope = self._envelopes[kind]
        if isinstance(envelope, str):
            return noise_unavailable(comparison, envelope)
        return apply_noise(comparison, one, two, envelope)

    def _made(self, reference: RunRecord, kind: Rounding) -> NoiseBand | str:
        """The envelope, or why there is none."""
        draws = [
            draw
            for draw in self._draws
            if draw.spec.perturbation and draw.spec.perturbation.rounding == kind
        ]
        try:
            return NoiseBand(reference, draws, kind)
        except RecordError as error:
            return str(error)
