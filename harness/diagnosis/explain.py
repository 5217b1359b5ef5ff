"""What `harness explain` does: the runs, their comparison, the experiments, the report."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from harness.comparison.compare import compare
from harness.diagnosis.distance import first_value_divergence
from harness.diagnosis.replay import BudgetSpent, Replays
from harness.diagnosis.search import FieldSearch
from harness.diagnosis.windows import differing_fields
from harness.errors import RecordError, SpecError
from harness.execution.parent.plan import is_done
from harness.execution.parent.progress import bars
from harness.execution.parent.runner import TIMEOUT_S, Run, run_all
from harness.report.write import write
from harness.results.comparison import Comparison
from harness.results.divergence import STAGES, Divergence
from harness.results.explanation import Explanation
from harness.results.folders import RECORDS, folder_labels, output_folder, records_in
from harness.results.record import RunRecord
from harness.results.report import Report
from harness.spec import registry as catalogue
from harness.spec.case import Case, label
from harness.spec.recipe import Conventions

__all__ = ["explain_case", "explain_folders", "majority"]

REPLAYS = f"{RECORDS}/replays"


def explain_case(
    case: Case,
    loops: Sequence[str],
    conventions: Conventions,
    budget: int | None,
    jobs: int | None,
    out: Path | None,
    command: Sequence[str],
    console: Console,
    timeout_s: float = TIMEOUT_S,
) -> tuple[Report, Path]:
    """Train a case by each loop, and find why the others part from the first.

    Where of three loops two are the same, the third is explained against the first of those.
    `budget`: the most steps that replays of each pair may take. `out` may be a folder of the same,
    stopped earlier: what was run there is not run again.

    Raises `SpecError` with nothing left behind where something does not fit; on KeyboardInterrupt
    a report of what is known is left.
    """
    if len(set(loops)) < 2:
        raise SpecError("two loops can differ", ", ".join(loops), "pass --loops plain,trainer")
    bare = case.model_copy(update={"arms": {}, "noise": None, "resume_at": None})
    specs = [catalogue.run_spec(bare, name, conventions, sketch=True) for name in loops]
    with output_folder(out, f"explain-{case.name}", again=True) as folder:
        runs = [Run(spec, folder / RECORDS / f"{case.name}-{label(spec)}") for spec in specs]
        make = _maker(jobs, console, timeout_s)
        make([run for run in runs if not is_done(run)], keep_going=False)
        sides = [(label(run.spec), RunRecord(run.folder)) for run in runs]
        pairs = list(itertools.combinations(sides, 2))
        explained = _pairs_to_explain(sides) if len(sides) == 3 else pairs[: len(sides) - 1]
        desk = _Desk(folder, budget, make, command, console)
        return desk.answer(sides, pairs, explained, majority(sides)), folder


def explain_folders(
    reference: Path,
    candidate: Path,
    budget: int | None,
    jobs: int | None,
    out: Path | None,
    command: Sequence[str],
    console: Console,
    timeout_s: float = TIMEOUT_S,
) -> tuple[Report, Path]:
    """Find why two records part, or the runs of two output folders that have the same name.

    Their own records are the runs to be explained. Raises and leaves as `explain_case`.
    """
    left, right = records_in(reference), records_in(candidate)
    names = folder_labels(reference, candidate)
    if len(left) == len(right) == 1:
        (one,), (two,) = left.items(), right.items()
        labels = (one[0][1], two[0][1])
        if labels[0] == labels[1]:
            labels = names
        pairs = [((labels[0], one[1]), (labels[1], two[1]))]
    else:
        pairs = [
            ((f"{names[0]}: {key[1]}", left[key]), (f"{names[1]}: {key[1]}", right[key]))
            for key in left
            if key in right
        ]
    if not pairs:
        raise SpecError("the two have a run in common", f"{reference}, {candidate}", "pass records")
    for (_, one_record), (_, two_record) in pairs:
        _check_comparable(one_record, two_record)
    with output_folder(out, "explain", again=True) as folder:
        desk = _Desk(folder, budget, _maker(jobs, console, timeout_s), command, console)
        sides = list(dict(side for pair in pairs for side in pair).items())
        return desk.answer(sides, pairs, pairs, ""), folder


def _check_comparable(one: RunRecord, two: RunRecord) -> None:
    """Raises `SpecError` where the two differ in what is no field of a recipe."""
    for name in ("workload", "device", "world_size"):
        values = [getattr(record.spec.case, name) for record in (one, two)]
        if values[0] != values[1]:
            raise SpecError(
                f"runs that are explained have one {name}",
                f"{values[0]} and {values[1]}",
                "what they differ in besides their recipes cannot be switched",
            )
    for record in (one, two):
        if record.spec.observe != "trace" or record.spec.perturbation is not None:
            raise SpecError("traced, undisturbed runs are explained", record.folder, "pass others")
        if record.header.status not in ("completed", "stopped"):
            raise SpecError(
                "runs that are explained went well", f"{record.folder} {record.header.status}", ""
            )
        catalogue.loop(record.spec.loop)


Side = tuple[str, RunRecord]
_SPENT = ("replays", "steps", "reused")  # of a cost, what adds up
Make = Callable[..., list[RunRecord]]


def _maker(jobs: int | None, console: Console, timeout_s: float) -> Make:
    def make(runs: Sequence[Run], keep_going: bool = True) -> list[RunRecord]:
        with bars(runs, console, experiments=True) as on_event:
            return run_all(runs, jobs, on_event, keep_going=keep_going, timeout_s=timeout_s)

    return make


class _Desk:
    """Where the pairs of one command are worked on, and its report is written."""

    def __init__(
        self,
        folder: Path,
        budget: int | None,
        make: Make,
        command: Sequence[str],
        console: Console,
    ) -> None:
        self._folder, self._budget, self._make = folder, budget, make
        self._command, self._console = command, console

    def answer(
        self,
        sides: Sequence[Side],
        pairs: Sequence[tuple[Side, Side]],
        explained: Sequence[tuple[Side, Side]],
        odd: str,
    ) -> Report:
        """Work through the pairs, and write the report, also of what is known when interrupted."""
        compared = [compare(one[1], two[1], (one[0], two[0])) for one, two in pairs]
        runs, explanations = list(sides), list[Explanation]()
        ended = all(record.header.status in ("completed", "stopped") for _, record in sides)
        try:
            for one, two in explained if ended else ():
                self._explain(one, two, runs, compared, explanations)
        finally:
            report = Report.of(runs, compared, self._folder, self._command, explanations, odd)
            write(report, self._folder)
        return report

    def _explain(
        self,
        one: Side,
        two: Side,
        runs: list[Side],
        compared: list[Comparison],
        explanations: list[Explanation],
    ) -> None:
        """Where the second cannot be made the first, perhaps the first can be made the second.

        A loop may not be able to do by its fields what another does by its own code.
        """
        found = self._inquire(one, two, runs, compared, explanations, 0)
        if found.outcome != "code" or not found.differing:
            return
        again = self._inquire(two, one, runs, compared, explanations, found.cost.steps)
        spent = [getattr(found.cost, name) + getattr(again.cost, name) for name in _SPENT]
        cost = again.cost.model_copy(update=dict(zip(_SPENT, spent, strict=True)))
        best = found
        if again.outcome != "code":
            assert found.rest is not None  # that is what `code` says
            other = (
                f"the other way round, {two[0]} with every field that it can take as {one[0]} has "
                f"it still parts at step {found.rest.step} in {found.rest.stage}"
            )
            best = again.model_copy(update={"notes": (other, *again.notes)})
        explanations[-2:] = [best.model_copy(update={"cost": cost})]

    def _inquire(
        self,
        one: Side,
        two: Side,
        runs: list[Side],
        compared: list[Comparison],
        explanations: list[Explanation],
        spent: int,
    ) -> Explanation:
        values = {
            name: both[0] for name, both in differing_fields(one[1].spec, two[1].spec).items()
        }
        left = None if self._budget is None else self._budget - spent
        replays = Replays(one[1], two[1].spec, values, self._folder / REPLAYS, self._make, left)
        if two[1].header.traces.keys() >= {"sketches"}:
            replays.know(frozenset(), two[1])
        inquiry = FieldSearch((one[0], two[0]), one[1], two[1], replays, self._tell)
        try:
            inquiry.run()
        except BudgetSpent:
            pass
        finally:
            replays.clear()
            explanations.append(inquiry.explanation)
            switched = f"{two[0]}, switched"
            if inquiry.proof is not None:
                runs.append((switched, inquiry.proof))
                compared.append(compare(one[1], inquiry.proof, (one[0], switched)))
            if inquiry.failed is not None:
                runs.append((switched, inquiry.failed))
        return explanations[-1]

    def _tell(self, line: str) -> None:
        if self._console.is_terminal:
            self._console.print(f"explain: {line}", highlight=False, markup=False)


def _pairs_to_explain(sides: Sequence[Side]) -> list[tuple[Side, Side]]:
    """Of three sides: the odd one against one of the others, or each against the first."""
    odd = _odd_one(_firsts(sides))
    if odd is None:
        return [(sides[0], sides[1]), (sides[0], sides[2])]
    others = [side for number, side in enumerate(sides) if number != odd]
    return [(others[0], sides[odd])]


Firsts = Mapping[tuple[int, int], Divergence | None]


def _firsts(sides: Sequence[Side]) -> Firsts:
    """By the numbers of two sides, where they part."""
    pairs = itertools.combinations(range(len(sides)), 2)
    return {(a, b): _first(sides[a][1], sides[b][1]) for a, b in pairs}


def _first(one: RunRecord, two: RunRecord) -> Divergence | None:
    try:
        return first_value_divergence(one, two)
    except RecordError:
        return Divergence(step=0, stage=STAGES[0])


def _odd_one(firsts: Firsts) -> int | None:
    """The one of three that parts from two others that are the same."""
    same = [pair for pair, first in firsts.items() if first is None]
    if len(same) != 1:
        return None
    (odd,) = {0, 1, 2} - set(same[0])
    return odd


def majority(sides: Sequence[Side]) -> str:
    """Which of three loops is the odd one out, in a sentence; empty for another number of them."""
    if len(sides) != 3:
        return ""
    firsts = _firsts(sides)
    names = [name for name, _ in sides]
    odd = _odd_one(firsts)
    if odd is not None:
        others = [name for number, name in enumerate(names) if number != odd]
        return f"{names[odd]} is the odd one out: {others[0]} and {others[1]} are the same"
    if not any(firsts.values()):
        return "all three are the same"
    places = {pair: first.place for pair, first in firsts.items() if first is not None}
    last = max(places, key=lambda pair: places[pair])
    step, stage, _ = places[last]
    told = (
        f"no two of the three are the same; {names[last[0]]} and {names[last[1]]} part last, at "
        f"step {step} in {STAGES[stage]}"
    )
    if any(place == places[last] for pair, place in places.items() if pair != last):
        return told
    (odd,) = {0, 1, 2} - set(last)
    return f"{told}, so {names[odd]} is the odd one out"
