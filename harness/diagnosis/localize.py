"""Where two runs part, found by replays: module, operation, statements and state.

Both runs are replayed up to the step of their first divergence. A replay must repeat its run bit
for bit up to that step. If it does not, or if something that it needs is missing, the result is a
note with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from harness.comparison.causes.agreement import agreeing, proven
from harness.comparison.definitions import compare_definitions
from harness.comparison.modules import compare_modules, is_computed, why_not_localized
from harness.comparison.operations import OperationAnswer, compare_operations
from harness.comparison.programs import arguments_of, compare_state, compare_statements
from harness.diagnosis.distance import first_value_divergence
from harness.diagnosis.step_replays import Place, cost_s, replays_of, what_is_missing
from harness.errors import RecordError
from harness.report.text.values import setting_text
from harness.report.write import write
from harness.results.comparison import Comparison
from harness.results.divergence import Divergence
from harness.results.folders import RECORDS
from harness.results.localization import Localization
from harness.results.record import RunRecord
from harness.results.report import Report
from harness.results.settings import setting_differences
from harness.spec.case import RunSpec
from harness.spec.request import TIMEOUT_S
from harness.units import counted, quantity

__all__ = ["AFFORDABLE_S", "FindPair", "can_be_localized", "localize_pairs", "localize_report"]

AFFORDABLE_S = 60.0
"""Replays that nobody asked for are made up to this time of training."""
_FEW = 3
"""Settings that are named."""
_UNASKED = Localization()
"""Of a pair that nobody asked to localize, and that has nothing to localize."""
FindPair = Callable[[Comparison], tuple[RunRecord, RunRecord] | None]


def localize_pairs(
    comparisons: Sequence[Comparison],
    find: FindPair,
    folder: Path,
    jobs: int | None,
    console: Console,
    timeout_s: float = TIMEOUT_S,
    within_s: float | None = None,
) -> list[Comparison]:
    """The comparisons, each with its first differing operation or the reason why there is none.

    `find` returns the records of a pair. The replays' records go to `folder`. `jobs`, `timeout_s`:
    as for `run_all`. A replay that fails is reported with its pair. `within_s`: nobody asked for
    replays. So only pairs that differ for an unknown reason are replayed, as long as the training
    of all replays took no longer than this in the recorded runs.
    """
    results: list[Localization | None] = []
    wanted: dict[Place, RunRecord] = {}
    spent_s = 0.0
    for comparison in comparisons:
        pair = find(comparison)
        why = _why_not(comparison, pair)
        first = _first(comparison)
        unasked = comparison.outcome != "different" or bool(comparison.note)
        if within_s is not None and (why or unasked):
            results.append(_UNASKED)
            continue
        results.append(Localization(note=why) if why else None)
        if why or pair is None or first is None:
            continue
        places = {(record.folder, _step(first)): record for record in pair}
        needed_s = sum(cost_s(places[one], one[1]) for one in places.keys() - wanted.keys())
        if within_s is not None and spent_s + needed_s > within_s:
            results[-1] = Localization(note=_too_long(needed_s))
            continue
        spent_s += needed_s
        wanted |= places
    if not wanted:
        return [
            one if found is _UNASKED else _with(one, found)
            for one, found in zip(comparisons, results, strict=True)
        ]
    replays = replays_of(wanted, folder, jobs, console, timeout_s)
    localized = []
    for comparison, result in zip(comparisons, results, strict=True):
        if result is _UNASKED:
            localized.append(comparison)
            continue
        pair = find(comparison)
        first = _first(comparison)
        if result is None and pair is not None and first is not None:
            repeated = replays[pair[0].folder, _step(first)], replays[pair[1].folder, _step(first)]
            result = _localize(comparison, pair, repeated, first)
        localized.append(_with(comparison, result))
    return localized


def _with(comparison: Comparison, found: Localization | None) -> Comparison:
    """The comparison with its localization, and without causes that this contradicts.

    Of two programs, only a cause that the operation proves stays.
    """
    update: dict[str, object] = {"localization": found}
    operation = None if found is None else found.operation
    statements = None if found is None else found.statements
    if statements is not None and statements.two_programs:
        update |= {"causes": proven(comparison.causes, operation), "unnamed": statements.note}
    else:
        update["causes"] = agreeing(comparison.causes, operation)
    return comparison.model_copy(update=update)


def _too_long(needed_s: float) -> str:
    return (
        f"not localized: both runs would train again for about {quantity(needed_s, 's')}; "
        "--localize does it"
    )


def can_be_localized(comparison: Comparison) -> bool:
    """Whether the pair differs in a stage that a replay may explain; its records are not read."""
    if comparison.outcome != "different" or comparison.test:
        return False
    return not why_not_localized(_first(comparison), comparison.outcome)


def _step(first: Divergence) -> int:
    """The step whose operations are recorded; what differs before the first leads to it."""
    return max(1, first.step)


def _first(comparison: Comparison) -> Divergence | None:
    """The first divergence of a computed value, if there is one: no module computes settings."""
    firsts = [each.first for each in comparison.stages if each.first and each.stage != "config"]
    return min(firsts, key=lambda first: first.place, default=comparison.first_divergence)


def _why_not(comparison: Comparison, pair: tuple[RunRecord, RunRecord] | None) -> str:
    """Why a pair cannot be replayed; empty if it can."""
    if comparison.test:
        return "not localized: several seeds were compared together; compare runs of one seed"
    why = why_not_localized(_first(comparison), comparison.outcome)
    if why:
        return why
    if pair is None:
        return "not localized: the records of the two runs are not both present"
    sizes = [record.spec.processes for record in pair]
    if sizes[0] != sizes[1]:
        return (
            f"not localized: {sizes[0]} and {sizes[1]} processes divide a step into different "
            "micro-batches"
        )
    labels = (comparison.reference, comparison.candidate)
    reasons = [what_is_missing(record, name) for record, name in zip(pair, labels, strict=True)]
    return "; ".join(dict.fromkeys(reason for reason in reasons if reason))


def _localize(
    comparison: Comparison,
    pair: tuple[RunRecord, RunRecord],
    repeated: tuple[RunRecord | str, RunRecord | str],
    first: Divergence,
) -> Localization:
    names = (comparison.reference, comparison.candidate)
    replays: list[RunRecord] = []
    for name, record, replay in zip(names, pair, repeated, strict=True):
        if isinstance(replay, str):
            return Localization(note=f"{name} could not be replayed: {replay}")
        if replay.header.status not in ("stopped", "completed"):
            why = replay.header.error or replay.header.status
            return Localization(note=f"{name} could not be replayed: {why}")
        divergence = first_value_divergence(record, replay, first.step)
        if divergence is not None:
            return Localization(
                note=f"the replay of {name} is another training than its run: it diverges at step "
                f"{divergence.step} in {divergence.stage}, so nothing in it was compared; "
                f"{_why_another(record, replay)}"
            )
        replays.append(replay)
    try:
        found = compare_modules(replays[0], replays[1], first)
        answer = OperationAnswer(None, "", (0, 0))
        if is_computed(first):
            answer = compare_operations(replays[0], replays[1], first)
        update = {
            "operation": answer.difference,
            "operation_note": answer.note,
            "operations": answer.counts,
            "draw": answer.draw,
            "lines": answer.lines,
            "state": compare_state(replays[0], replays[1], first),
            "arguments": (arguments_of(replays[0]), arguments_of(replays[1])),
            "statements": compare_statements(replays[0], replays[1]),
        }
        found = found.model_copy(update=update)
        definitions = compare_definitions(replays[0], replays[1], found)
    except RecordError as error:
        return Localization(note=str(error))
    return found.model_copy(update={"definitions": definitions})


def _why_another(record: RunRecord, replay: RunRecord) -> str:
    """What may have made a replay another training than its run."""
    changed = setting_differences(record.header, replay.header)
    if not changed:
        return "either the training does not repeat itself, or its files have changed since"
    parts = [
        f"{one.name} is {setting_text(one.candidate)} and was {setting_text(one.reference)}"
        for one in changed[:_FEW]
    ]
    more = len(changed) - _FEW
    if more > 0:
        parts.append(f"{counted(more, 'more setting')} {'differs' if more == 1 else 'differ'}")
    return "; ".join(parts)


def localize_report(
    report: Report,
    folder: Path,
    jobs: int | None,
    console: Console,
    timeout_s: float = TIMEOUT_S,
    within_s: float | None = None,
) -> Report:
    """Add the first differing operation of each pair to the report and write it.

    `within_s`: as for `localize_pairs`.

    On KeyboardInterrupt the report and the complete replays stay as they were.
    """
    records = {(r.case, r.loop): RunRecord(folder / r.record) for r in report.runs}
    # Two commands have two names, so a pair of them has the name of one.
    commands = {
        loop: record
        for (_, loop), record in records.items()
        if not isinstance(record.spec, RunSpec)
    }

    def find(pair: Comparison) -> tuple[RunRecord, RunRecord] | None:
        if len(records) == 2:  # the labels of two records may differ from those of their pair
            one, two = records.values()
            return one, two
        names = pair.reference, pair.candidate
        both = [records.get((pair.case, name)) or commands.get(name) for name in names]
        return None if both[0] is None or both[1] is None else (both[0], both[1])

    pairs = localize_pairs(
        report.comparisons, find, folder / RECORDS, jobs, console, timeout_s, within_s
    )
    if pairs == list(report.comparisons):
        return report
    whole = report.model_copy(update={"comparisons": tuple(pairs)})
    write(whole, folder)
    return whole
