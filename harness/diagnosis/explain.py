"""The work of `harness explain`: the runs, their comparison, the experiments, the report."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from harness.comparison.compare import compare
from harness.diagnosis.odd_one_out import LabelledRun, odd_one_out, pairs_to_explain
from harness.diagnosis.replay import Replays, ReplaysSpent
from harness.diagnosis.search import FieldSearch
from harness.diagnosis.windows import differing_fields
from harness.errors import SpecError
from harness.execution.parent.progress import bars
from harness.execution.parent.reuse import is_done
from harness.execution.parent.runner import Run, run_all
from harness.report.write import write
from harness.results.comparison import Comparison
from harness.results.explanation import Explanation
from harness.results.folders import RECORDS, folder_labels, output_folder, records_in
from harness.results.record import RunRecord
from harness.results.report import Report
from harness.spec import registry
from harness.spec.case import Case, label
from harness.spec.recipe import Conventions
from harness.spec.request import TIMEOUT_S

__all__ = ["explain_case", "explain_folders"]

REPLAYS = f"{RECORDS}/replays"


def explain_case(
    case: Case,
    loops: Sequence[str],
    conventions: Conventions,
    max_replays: int | None,
    jobs: int | None,
    out: Path | None,
    command: Sequence[str],
    console: Console,
    timeout_s: float = TIMEOUT_S,
) -> tuple[Report, Path]:
    """Train a case with each loop, and find why the other loops diverge from the first.

    If two of three loops are the same, the third is explained relative to the first of the two.
    `max_replays`: the most replays of each pair. `out` may be the folder of a
    stopped command with the same arguments. Its complete runs are used again.

    Raises `SpecError` and leaves nothing behind if an argument is invalid. On KeyboardInterrupt a
    report of the result so far is written.
    """
    if len(set(loops)) < 2:
        raise SpecError(
            "explain needs two different loops", ", ".join(loops), "pass --loops plain,trainer"
        )
    bare = case.model_copy(update={"arms": {}, "noise": None, "resume_at": None})
    specs = [registry.run_spec(bare, name, conventions, sketch=True) for name in loops]
    with output_folder(out, f"explain-{case.name}", again=True) as folder:
        runs = [Run(spec, folder / RECORDS / f"{case.name}-{label(spec)}") for spec in specs]
        make = _maker(jobs, console, timeout_s)
        make([run for run in runs if not is_done(run)], keep_going=False)
        labelled = [(label(run.spec), RunRecord(run.folder)) for run in runs]
        pairs = list(itertools.combinations(labelled, 2))
        explained = pairs_to_explain(labelled) if len(labelled) == 3 else pairs[: len(labelled) - 1]
        explainer = _Explainer(folder, max_replays, make, command, console)
        return explainer.explain(labelled, pairs, explained, odd_one_out(labelled)), folder


def explain_folders(
    reference: Path,
    candidate: Path,
    max_replays: int | None,
    jobs: int | None,
    out: Path | None,
    command: Sequence[str],
    console: Console,
    timeout_s: float = TIMEOUT_S,
) -> tuple[Report, Path]:
    """Find why two records diverge, or the runs of two output folders that have the same name.

    The given records are the runs to explain. Raises as `explain_case`.
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
        rule = "the two folders have a run of the same name"
        raise SpecError(rule, f"{reference}, {candidate}", "pass two records")
    for (_, one_record), (_, two_record) in pairs:
        _check_comparable(one_record, two_record)
    with output_folder(out, "explain", again=True) as folder:
        explainer = _Explainer(
            folder, max_replays, _maker(jobs, console, timeout_s), command, console
        )
        labelled = list(dict(run for pair in pairs for run in pair).items())
        return explainer.explain(labelled, pairs, pairs, ""), folder


def _check_comparable(one: RunRecord, two: RunRecord) -> None:
    """Raise `SpecError` if the two differ in a property that is not a recipe field."""
    for name in ("workload", "device", "world_size"):
        values = [getattr(record.run_spec.case, name) for record in (one, two)]
        if values[0] != values[1]:
            raise SpecError(
                f"explained runs have the same {name}",
                f"{values[0]} and {values[1]}",
                "explain searches recipe fields and workload options only",
            )
    for record in (one, two):
        spec = record.run_spec
        if spec.observe != "trace" or spec.perturbation is not None:
            rule = "explained runs are traced and unperturbed"
            raise SpecError(rule, record.folder, "pass other records")
        if record.header.status not in ("completed", "stopped"):
            raise SpecError(
                "explained runs completed", f"{record.folder}: {record.header.status}", ""
            )
        registry.loop(spec.loop)


_SPENT = ("replays", "steps", "reused")  # the fields of a cost that add up
Make = Callable[..., list[RunRecord]]


def _maker(jobs: int | None, console: Console, timeout_s: float) -> Make:
    def make(runs: Sequence[Run], keep_going: bool = True) -> list[RunRecord]:
        with bars(runs, console, experiments=True) as on_event:
            return run_all(runs, jobs, on_event, keep_going=keep_going, timeout_s=timeout_s)

    return make


class _Explainer:
    """Explains the pairs of one command and writes its report."""

    def __init__(
        self,
        folder: Path,
        max_replays: int | None,
        make: Make,
        command: Sequence[str],
        console: Console,
    ) -> None:
        self._folder, self._max_replays, self._make = folder, max_replays, make
        self._command, self._console = command, console

    def explain(
        self,
        labelled: Sequence[LabelledRun],
        pairs: Sequence[tuple[LabelledRun, LabelledRun]],
        explained: Sequence[tuple[LabelledRun, LabelledRun]],
        odd: str,
    ) -> Report:
        """Explain the pairs and write the report, also when interrupted."""
        compared = [compare(one[1], two[1], (one[0], two[0])) for one, two in pairs]
        runs, explanations = list(labelled), list[Explanation]()
        ended = all(record.header.status in ("completed", "stopped") for _, record in labelled)
        try:
            for one, two in explained if ended else ():
                self._explain(one, two, runs, compared, explanations)
        finally:
            report = Report.of(runs, compared, self._folder, self._command, explanations, odd)
            write(report, self._folder)
        return report

    def _explain(
        self,
        one: LabelledRun,
        two: LabelledRun,
        runs: list[LabelledRun],
        compared: list[Comparison],
        explanations: list[Explanation],
    ) -> None:
        """Explain a pair. If no fields make the second equal to the first, try the other direction.

        The fields of one loop may not reach what the code of the other does.
        """
        found = self._search(one, two, runs, compared, explanations, 0)
        if found.outcome != "code" or not found.differing:
            return
        again = self._search(two, one, runs, compared, explanations, found.cost.replays)
        spent = [getattr(found.cost, name) + getattr(again.cost, name) for name in _SPENT]
        cost = again.cost.model_copy(update=dict(zip(_SPENT, spent, strict=True)))
        best = found
        if again.outcome != "code":
            assert found.rest is not None  # by the definition of `code`
            other = (
                f"in the other direction, {two[0]} with every possible field set as in {one[0]} "
                f"still diverges at step {found.rest.step} in {found.rest.stage}"
            )
            best = again.model_copy(update={"notes": (other, *again.notes)})
        explanations[-2:] = [best.model_copy(update={"cost": cost})]

    def _search(
        self,
        one: LabelledRun,
        two: LabelledRun,
        runs: list[LabelledRun],
        compared: list[Comparison],
        explanations: list[Explanation],
        spent: int,
    ) -> Explanation:
        values = {
            name: both[0]
            for name, both in differing_fields(one[1].run_spec, two[1].run_spec).items()
        }
        left = None if self._max_replays is None else self._max_replays - spent
        replays = Replays(one[1], two[1].run_spec, values, self._folder / REPLAYS, self._make, left)
        if two[1].header.traces.keys() >= {"sketches"}:
            replays.add_known(frozenset(), two[1])
        search = FieldSearch((one[0], two[0]), one[1], two[1], replays, self._show)
        try:
            search.run()
        except ReplaysSpent:
            pass
        finally:
            replays.clear()
            explanations.append(search.explanation)
            switched = f"{two[0]}, switched"
            if search.proof is not None:
                runs.append((switched, search.proof))
                compared.append(compare(one[1], search.proof, (one[0], switched)))
            if search.failed is not None:
                runs.append((switched, search.failed))
        return explanations[-1]

    def _show(self, line: str) -> None:
        if self._console.is_terminal:
            self._console.print(f"explain: {line}", highlight=False, markup=False)
