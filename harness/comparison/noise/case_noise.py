"""The noise bands of one case or command, applied to its pairs of runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.comparison.names import Rename, match_tensors
from harness.comparison.noise.band import NoiseBand
from harness.comparison.noise.command_noise import check_command, check_draw
from harness.comparison.noise.verdict import apply_noise, noise_unavailable
from harness.comparison.renamed_record import with_names
from harness.errors import RecordError
from harness.results.comparison import Comparison
from harness.results.record import RunRecord
from harness.spec.case import RunSpec
from harness.spec.expand import Rounding, rounding_between

__all__ = ["CaseNoise"]


class CaseNoise:
    """The noise of one case or command. Each noise band is computed at its first use."""

    def __init__(self, reference: RunRecord | None, draws: Iterable[RunRecord]) -> None:
        """`reference`: the first run of the case, or None if it is missing."""
        self._reference = reference
        self._draws = list(draws)
        self._bands: dict[Rounding, NoiseBand | str] = {}

    def apply(
        self,
        comparison: Comparison,
        one: RunRecord,
        two: RunRecord,
        renames: Sequence[Rename] = (),
    ) -> Comparison:
        """`comparison` of `one` and `two`; if it is `different`, with the outcome after noise.

        `renames` as in `compare`. Never raises for the content of records.
        """
        if comparison.outcome != "different":
            return comparison
        reference = self._reference
        if reference is None:
            return noise_unavailable(comparison, "the first run is missing; run it")
        kinds = {isinstance(record.spec, RunSpec) for record in (reference, one, two)}
        if len(kinds) > 1:
            why = "the noise of a command does not apply to the run of a loop, or the reverse"
            return noise_unavailable(comparison, why)
        try:
            rounding = (_of_loops if True in kinds else _of_commands)(reference, one, two)
        except RecordError as error:
            return noise_unavailable(comparison, str(error))
        if rounding not in self._bands:
            self._bands[rounding] = self._make_band(reference, rounding)
        band = self._bands[rounding]
        if isinstance(band, str):
            return noise_unavailable(comparison, band)
        try:
            one, two = (
                with_names(
                    record, match_tensors(reference, record, renames if record is two else ())
                )
                for record in (one, two)
            )
        except RecordError as error:
            return noise_unavailable(comparison, str(error))
        return apply_noise(comparison, one, two, band)

    def _make_band(self, reference: RunRecord, rounding: Rounding) -> NoiseBand | str:
        """The noise band, or the reason why there is none."""
        draws = [
            draw
            for draw in self._draws
            if draw.spec.perturbation and draw.spec.perturbation.rounding == rounding
        ]
        try:
            if not isinstance(reference.spec, RunSpec):
                for draw in draws:
                    check_draw(reference, draw)
            return NoiseBand(reference, draws, rounding)
        except RecordError as error:
            return str(error)


def _of_loops(reference: RunRecord, one: RunRecord, two: RunRecord) -> Rounding:
    """How the draws for a pair of runs are perturbed. Raises `RecordError` if there are none."""
    precision = reference.run_spec.recipe.precision
    if precision not in {run.run_spec.recipe.precision for run in (one, two)}:
        raise RecordError("neither run has the precision of the first run; put one of them first")
    rounding = rounding_between(one.run_spec, two.run_spec)
    if rounding is None:
        raise RecordError("fp16 has no draws")
    return rounding


def _of_commands(reference: RunRecord, one: RunRecord, two: RunRecord) -> Rounding:
    """The same for commands."""
    for record in (reference, one, two):
        check_command(record)
    return "weights"
