"""What stands first is short: few lines of code, and no pair that follows from others."""

from harness.report.text.answers import answers, implied
from harness.results.comparison import Comparison
from harness.results.localization import Code, Localization, StatementDifferences
from tests.support.small_report import DIFFERENT, IDENTICAL, small_report


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
