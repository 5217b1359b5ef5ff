"""Which of three runs differs from the two others?"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from harness.diagnosis.distance import first_value_divergence
from harness.errors import RecordError
from harness.results.divergence import STAGES, Divergence
from harness.results.record import RunRecord

__all__ = ["LabelledRun", "odd_one_out", "pairs_to_explain"]

LabelledRun = tuple[str, RunRecord]
Firsts = Mapping[tuple[int, int], Divergence | None]


def pairs_to_explain(runs: Sequence[LabelledRun]) -> list[tuple[LabelledRun, LabelledRun]]:
    """For three runs: the odd one relative to one of the others, or each relative to the first."""
    odd = _odd_one(_firsts(runs))
    if odd is None:
        return [(runs[0], runs[1]), (runs[0], runs[2])]
    others = [run for number, run in enumerate(runs) if number != odd]
    return [(others[0], runs[odd])]


def _firsts(runs: Sequence[LabelledRun]) -> Firsts:
    """The first divergence of each pair, by the numbers of its two runs."""
    pairs = itertools.combinations(range(len(runs)), 2)
    return {(a, b): _first(runs[a][1], runs[b][1]) for a, b in pairs}


def _first(one: RunRecord, two: RunRecord) -> Divergence | None:
    try:
        return first_value_divergence(one, two)
    except RecordError:
        return Divergence(step=0, stage=STAGES[0])


def _odd_one(firsts: Firsts) -> int | None:
    """The number of the run that differs, if the two others are the same."""
    same = [pair for pair, first in firsts.items() if first is None]
    if len(same) != 1:
        return None
    (odd,) = {0, 1, 2} - set(same[0])
    return odd


def odd_one_out(runs: Sequence[LabelledRun]) -> str:
    """A sentence on which of three runs differs from the two others; empty for other numbers."""
    if len(runs) != 3:
        return ""
    firsts = _firsts(runs)
    names = [name for name, _ in runs]
    odd = _odd_one(firsts)
    if odd is not None:
        others = [name for number, name in enumerate(names) if number != odd]
        return f"{names[odd]} is the odd one out: {others[0]} and {others[1]} are the same"
    if not any(firsts.values()):
        return "all three are the same"
    places = {pair: first.place for pair, first in firsts.items() if first is not None}
    last = max(places, key=lambda pair: places[pair])
    step, _, stage = places[last]
    sentence = (
        f"no two of the three are the same; {names[last[0]]} and {names[last[1]]} diverge last, at "
        f"step {step} in {STAGES[stage]}"
    )
    if any(place == places[last] for pair, place in places.items() if pair != last):
        return sentence
    (odd,) = {0, 1, 2} - set(last)
    return f"{sentence}, so {names[odd]} is the odd one out"
