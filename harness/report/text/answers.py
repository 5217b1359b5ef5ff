"""What a report answers, the most important first: one answer for each pair, and where its evidence
is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.report.text import explanation, modules, regression, seeds, speeds, upgrade
from harness.report.text.facts import also_lines
from harness.report.text.operations import code_lines, operation_sentence
from harness.report.text.programs import program_parts
from harness.report.text.summary import equal_before_the_end, sentence
from harness.results.comparison import Comparison
from harness.results.regression import CheckResult
from harness.results.report import Report, RunSummary
from harness.units import counted

__all__ = ["Answer", "answers", "first_lines", "follows_from_failure", "implied", "pair_anchor"]

_FEW = 6
"""Up to so many pairs each has an answer; of more, the identical ones are counted."""
_PARTS = 3
"""Differences of the two programs that an answer tells."""
_LINES = 4
"""Lines of code of each of them; of more it gives the number."""
_MOST = 12
"""Answers for pairs, and quantities that got worse, at most; of more the rest is counted."""


@dataclass(frozen=True)
class Answer:
    """One conclusion."""

    text: str
    outcome: str = ""
    """The outcome that it states, for a mark before it; empty if it is not about one pair."""
    anchor: str = ""
    """Where its evidence is on a page."""
    details: tuple[str, ...] = ()
    """Lines that belong to it: the first operation that differs, and the lines of code."""


def first_lines(report: Report) -> list[str]:
    """The answers as lines, each followed by its details."""
    return [line for one in answers(report) for line in (one.text, *one.details)]


def answers(report: Report) -> list[Answer]:
    """Why a run failed, then regressions, changes or causes if known, else each pair."""
    if report.gate is not None:
        return _of_check(report.gate)
    if report.bisect is not None:
        return [Answer(report.bisect.sentence, anchor="upgrade")]
    found = [Answer(note) for note in report.notes]
    found += [
        Answer(f"{seeds.run_name(run)} {_ended(run)}: {run.error}", "failed", "metrics")
        for run in _ended_early(report)
    ]
    if report.upgrade is not None:
        lines = upgrade.first_lines(report.upgrade)
        return [*found, *(Answer(line, anchor="upgrade") for line in lines)]
    if report.odd_one_out:
        found.append(Answer(report.odd_one_out, anchor="pairs"))
    if report.explanations:
        explained = report.explanations
        return found + [
            Answer(explanation.sentence(one), anchor="explanation") for one in explained
        ]
    return found + _of_pairs(report)


def _ended_early(report: Report) -> list[RunSummary]:
    """The runs that failed or were interrupted, with the reason."""
    return [run for run in report.runs if run.status in ("failed", "interrupted") and run.error]


def _ended(run: RunSummary) -> str:
    return (
        "failed"
        if run.status == "failed"
        else f"was interrupted after {counted(run.steps, 'step')}"
    )


def implied(comparisons: Sequence[Comparison]) -> list[int]:
    """The places of pairs whose result follows from two others.

    If A and B are identical, then B and C differ as A and C do.
    """
    places = {(one.case, one.reference, one.candidate): one for one in comparisons}
    found = []
    for place, pair in enumerate(comparisons):
        for first in comparisons[:place]:
            if (first.case, first.candidate) != (pair.case, pair.reference):
                continue
            other = places.get((pair.case, first.reference, pair.candidate))
            same = (first, other) if first.outcome == "identical" else (other, first)
            if other is not None and same[0] is not None and _follows(pair, *same):
                found.append(place)
                break
    return found


def _follows(pair: Comparison, same: Comparison, other: Comparison | None) -> bool:
    """Whether `pair` repeats `other`, because the two runs of `same` are identical."""
    if other is None or same.outcome != "identical" or same.restriction or pair.doubts:
        return False
    places = [one.first_divergence and one.first_divergence.place for one in (pair, other)]
    plain = all(one.noise is None and not one.test and one.equality is None for one in (pair, same))
    return plain and pair.outcome == other.outcome and places[0] == places[1]


def follows_from_failure(report: Report, pair: Comparison) -> bool:
    """Whether a pair has no result because one of its runs failed."""
    if pair.outcome != "incomparable" or not pair.doubts:
        return False
    return any(str(run.error) in pair.doubts[0] for run in _ended_early(report))


def pair_anchor(place: int) -> str:
    """The id of a pair on a page; `place`: its place in the report."""
    return f"pair-{place + 1}"


def _of_pairs(report: Report) -> list[Answer]:
    pairs = report.comparisons
    shown = [
        place
        for place in range(len(pairs))
        if place not in implied(pairs)
        and (not follows_from_failure(report, pairs[place]) or equal_before_the_end(pairs[place]))
    ]
    if len(shown) <= _FEW:
        cases = {pair.case for pair in pairs}
        return [_of_pair(pairs[place], place, len(cases) > 1) for place in shown]
    others = [place for place in shown if pairs[place].outcome != "identical"]
    found = [Answer(_count(pairs), anchor="pairs")]
    found += [_of_pair(pairs[place], place, True) for place in others[:_MOST]]
    if len(others) > _MOST:
        found.append(Answer(f"{len(others) - _MOST} more are listed below", anchor="pairs"))
    return found


def _count(pairs: Sequence[Comparison]) -> str:
    others = [pair for pair in pairs if pair.outcome != "identical"]
    cases = len({pair.case for pair in pairs})
    known = sum(bool(pair.note) for pair in others)
    levels = dict.fromkeys(pair.restriction for pair in pairs if pair.restriction)
    restriction = "".join(f", {level}" for level in levels)
    in_cases = "1 case" if cases == 1 else f"{cases} cases"
    text = (
        f"{len(pairs) - len(others)} of {len(pairs)} pairs in {in_cases} are identical, bit for "
        f"bit{restriction}"
    )
    if not others:
        return text
    return f"{text}; {len(others)} are not, {known} of them for a known reason"


def _of_pair(pair: Comparison, place: int, name_case: bool) -> Answer:
    case = f"{pair.case}: " if name_case else ""
    if pair.equality is not None:  # of speeds
        details = (f"{speeds.certainty(pair)}.", *_code(pair))
        return Answer(f"{case}{speeds.line(pair)}", pair.outcome, "speed", details)
    equal = equal_before_the_end(pair)
    if equal:  # the failure stands in a line of its own
        name = f"{pair.candidate} against {pair.reference}"
        return Answer(f"{case}{name}: {pair.outcome}; {equal}", pair.outcome, pair_anchor(place))
    details = tuple(_code(pair)) or _module(pair)
    if pair.outcome == "identical":
        details = (*_module(pair), *also_lines(pair))
    return Answer(f"{case}{sentence(pair)}", pair.outcome, pair_anchor(place), details)


def _code(pair: Comparison) -> Iterator[str]:
    """The first operation that differs, then what else differs in the two programs.

    Only few lines: the evidence of the pair has them all.
    """
    code = [f"{name}: {line}" for name, line in code_lines(pair)]
    if code:
        yield operation_sentence(pair)
        yield from code
    parts = program_parts(pair)
    for part in parts[:_PARTS]:
        yield part.sentence
        if len(part.lines) <= _LINES:
            yield from (f"{name}: {line}" for name, line in part.lines)
        else:
            yield f"The {len(part.lines)} lines of code are in report.html."
    more = len(parts) - _PARTS
    if more > 0:
        yield f"In report.html: {more} more of what differs in the programs."


def _module(pair: Comparison) -> tuple[str, ...]:
    """The first module that differs, or why none is known, for a pair without a line of code."""
    found = pair.localization
    if found is None:
        return ()
    label = "Localized: " if found.place is not None else ""
    return (f"{label}{modules.sentence(found)}.",)


def _of_check(check: CheckResult) -> list[Answer]:
    """The size of each list, then the quantities that got worse."""
    found = [Answer(line, anchor="baseline") for line in regression.first_lines(check)]
    worse = regression.items_in(check, "regressed")
    found += [
        Answer(f"{one.case}, {one.loop}: {one.sentence}", "regressed", "baseline")
        for one in worse[:_MOST]
    ]
    if len(worse) > _MOST:
        found.append(
            Answer(f"{len(worse) - _MOST} more got worse, listed below", anchor="baseline")
        )
    return found
