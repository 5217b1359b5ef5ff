"""What stands first is short: few lines of code, and no pair that follows from others."""

from typing import Any

from harness.report.text.answers import answers, implied
from harness.results.comparison import Comparison
from harness.results.divergence import StageDifference
from harness.results.localization import Code, Localization, StatementDifferences
from harness.results.report import Report
from tests.support.small_report import DIFFERENT, IDENTICAL, run, small_report


def with_statements(count: int) -> Comparison:
    """A pair of programs, one of which ran so many statements alone."""
    alone = tuple(Code(place=f"b.py:{number}", source=f"x{number}") for number in range(count))
    found = StatementDifferences(statements=(count, 2 * count), places=(((), alone),))
    localization = Localization(step=3, statements=found)
    return DIFFERENT.model_copy(update={"localization": localization})


def details(pair: Comparison) -> tuple[str, ...]:
    (answer,) = answers(small_report(comparisons=(pair,)))
    return answer.details


def test_an_answer_has_few_lines_of_code() -> None:
    """Of four lines all; of a hundred their number, and where they are."""
    assert [f"{DIFFERENT.candidate}: b.py:{n}  x{n}" for n in range(4)] == list(
        details(with_statements(4))[1:]
    )
    assert ("The 100 lines of code are in report.html.",) == details(with_statements(100))[1:]


def test_a_pair_is_implied_only_by_a_pair_that_is_identical() -> None:
    """B against C follows from A against B (identical) and A against C; not with a doubt."""
    same = IDENTICAL.model_copy(update={"candidate": "again"})
    other = DIFFERENT.model_copy(update={"candidate": "trainer"})
    follows = other.model_copy(update={"reference": "again", "doubts": ()})
    assert [2] == implied((same, other, follows))
    assert [] == implied((same, other, follows.model_copy(update={"doubts": ("a doubt",)})))
    assert [] == implied((same, other, follows.model_copy(update={"outcome": "inconclusive"})))
    apart = same.model_copy(update={"outcome": "different"})
    assert [] == implied((apart, other, follows))


def failed_pair(steps: int, **changes: Any) -> Report:
    """A run that failed after so many equal steps, against a completed one."""
    error = "RuntimeError: no memory left"
    pair = Comparison(
        case="tiny",
        reference="plain",
        candidate="mine",
        outcome="incomparable",
        steps=steps,
        stages=(StageDifference(stage="loss", compared=steps, differing=0),),
        doubts=(f"mine failed: {error}",),
    ).model_copy(update=changes)
    runs = (run("plain"), run("mine", status="failed", steps=steps, error=error))
    return small_report(comparisons=(pair,), runs=runs)


def test_the_steps_before_a_failure_are_compared() -> None:
    """The failure first; the outcome stays incomparable."""
    failure, pair = answers(failed_pair(5))
    assert "mine failed: RuntimeError: no memory left" == failure.text
    assert (
        "mine against plain: incomparable; what both recorded is equal, bit for bit, at all 5 "
        "steps before"
    ) == pair.text
    assert "incomparable" == pair.outcome


def test_a_failure_before_a_step_proves_no_agreement() -> None:
    """Nor does a failure of runs that were not compared, or that differ."""
    other = DIFFERENT.stages[1:]
    assert other[0].first is not None
    for report in (failed_pair(0), failed_pair(5, stages=()), failed_pair(5, stages=other)):
        assert ["mine failed: RuntimeError: no memory left"] == [
            one.text for one in answers(report)
        ]
    differing = failed_pair(5, first_divergence=DIFFERENT.first_divergence, outcome="different")
    assert not any("equal" in one.text for one in answers(differing))


def test_an_interrupted_run_is_said_first() -> None:
    runs = (run("plain"), run("mine", status="interrupted", steps=1, error="stopped by the user"))
    (first, *_) = answers(small_report(runs=runs))
    assert "mine was interrupted after 1 step: stopped by the user" == first.text
