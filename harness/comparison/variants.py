"""A loop against itself elsewhere, on another device or with other libraries: their comparisons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.comparison.compare import compare
from harness.comparison.seeds import compare_seeds
from harness.results.comparison import Comparison, incomparable
from harness.results.metrics import Margin
from harness.results.record import RunRecord
from harness.spec.case import Case
from harness.spec.expand import is_variant, variant_of

__all__ = ["compare_with_itself"]


def compare_with_itself(
    runs: Iterable[tuple[str, Case, RunRecord | None]], margins: Mapping[str, Margin]
) -> list[Comparison]:
    """One comparison for each loop, case, and place but the first; other cases are left out.

    `runs`: what each is called within its case, its case, and its record where it left one.
    """
    loops: dict[tuple[str, str], dict[str, dict[int, RunRecord | None]]] = {}
    seeded = set()
    for label, case, record in runs:
        if is_variant(case):
            whole, where = variant_of(case)
            sides = loops.setdefault((whole, label), {})
            sides.setdefault(where, {})[case.recipe.seed] = record
            if case.seed_of is not None:
                seeded.add(whole)
    return [
        _pair(case, (f"{label} {first}", f"{label} {where}"), sides, case in seeded, margins)
        for (case, label), places in loops.items()
        for (first, reference), *others in [list(places.items())]
        for where, candidate in others
        for sides in [(reference, candidate)]
    ]


def _pair(
    case: str,
    labels: tuple[str, str],
    sides: tuple[Mapping[int, RunRecord | None], Mapping[int, RunRecord | None]],
    seeded: bool,
    margins: Mapping[str, Margin],
) -> Comparison:
    found: list[dict[int, RunRecord]] = [{}, {}]
    for label, side, there in zip(labels, sides, found, strict=True):
        for seed, record in side.items():
            if record is None:
                return incomparable(case, *labels, f"{label} is missing; run it")
            there[seed] = record
    if seeded:
        return compare_seeds(case, labels, found[0], found[1], margins)
    (one,), (two,) = found[0].values(), found[1].values()
    return compare(one, two, labels).model_copy(update={"case": case})
