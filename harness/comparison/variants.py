"""Compares each loop with itself on another device or with other libraries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from harness.comparison.noise.case_noise import CaseNoise
from harness.comparison.pairs import compare_pair, compare_seeded_pairs
from harness.results.comparison import Comparison
from harness.results.metrics import Margin
from harness.results.record import RunRecord
from harness.spec.case import Case
from harness.spec.expand import is_variant, variant_of

__all__ = ["compare_variants"]


def compare_variants(
    runs: Iterable[tuple[str, Case, RunRecord | None]],
    margins: Mapping[str, Margin],
    noises: Mapping[str, CaseNoise] = MappingProxyType({}),
) -> list[Comparison]:
    """One comparison per loop, case and place, with the first place as the reference.

    `noises`: by the name of the original case, the noise of its first loop in the first place.

    `runs`: the label of each run within its case, its case, and its record if it left one. Cases
    that are not variants are left out.
    """
    loops: dict[tuple[str, str], dict[str, dict[int, RunRecord | None]]] = {}
    seeded = set()
    for label, case, record in runs:
        if is_variant(case):
            original, place = variant_of(case)
            places = loops.setdefault((original, label), {})
            places.setdefault(place, {})[case.recipe.seed] = record
            if case.seed_of is not None:
                seeded.add(original)
    comparisons = []
    for (case_name, label), places in loops.items():
        (first, reference), *others = places.items()
        for place, candidate in others:
            labels = f"{label} {first}", f"{label} {place}"
            pairs = {seed: (record, candidate.get(seed)) for seed, record in reference.items()}
            if case_name in seeded:
                comparisons.append(compare_seeded_pairs(case_name, labels, pairs, margins))
            else:
                (pair,) = pairs.values()
                noise = noises.get(case_name)
                comparisons.append(compare_pair(case_name, labels, pair, noise))
    return comparisons
