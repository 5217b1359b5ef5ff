"""A pair compared with its noise, as a table and in a sentence."""

import io

import pytest
from rich.console import Console

from harness.report.document import Table
from harness.report.formats.terminal import print_report
from harness.report.render import render
from harness.report.sections.noise import noise_table
from harness.report.text.answers import answers
from harness.report.text.summary import sentence
from harness.results.comparison import Comparison
from harness.results.report import Report
from tests.support.small_report import noisy, small_report


def page(name: str) -> str:
    """The small report with one pair within its noise."""
    return render(small_report(comparisons=(noisy("within_noise"),)), name)


def table_of(pair: Comparison) -> Table:
    """The noise of a pair as a table."""
    assert pair.noise is not None
    return noise_table("a pair", pair.noise)


def headings(table: Table) -> list[str]:
    """Of each column."""
    return [column.heading for column in table.columns]


HEADINGS = headings(table_of(noisy("within_noise")))


def test_a_row_gives_each_figure_under_its_heading() -> None:
    """Largest difference absolute, relative and in ulp; noise, bound, and what would be seen."""
    table = table_of(noisy("within_noise"))
    loss, weights = (dict(zip(headings(table), row, strict=True)) for row in table.rows)
    assert {
        "field": "loss",
        "largest difference": "2.4e-07 (step 3)",
        "relative": "3.5e-07",
        "ulp": "4",
        "noise": "1.1e-07",
        "bound": "1.6e-06 (step 2)",
        "smallest visible": "2.3e-06",
        "judged in": "5 of 6 steps",
        "outcome": "within_noise",
    } == loss
    assert ("all weights", "") == (weights["field"], weights["ulp"])


@pytest.mark.parametrize("name", ["report.md", "report.html"])
def test_a_page_shows_the_table_and_what_it_means(name: str) -> None:
    """Every heading and figure is there; without noise none of it is."""
    shown, bare = page(name), render(small_report(), name)
    for text in (*HEADINGS, "0.00032", "one ulp in each"):
        assert text in shown
    assert "one ulp in each" not in bare


def test_a_markdown_table_has_a_cell_for_each_heading() -> None:
    """Head, rule and rows have as many columns, without an empty line between them."""
    lines = page("report.md").splitlines()
    head = next(i for i, line in enumerate(lines) if line.startswith("| field | largest"))
    table = lines[head : head + 4]
    assert [len(HEADINGS) + 1] * 4 == [line.count("|") for line in table]
    assert "" == lines[head + 4]


def test_the_sentence_names_fields_outside_the_band() -> None:
    """Within the noise: how near, and what would have been seen. Beyond it: in which field."""
    within, beyond = noisy("within_noise"), noisy("different")
    assert (
        "the weights differ by 0.00045 of their movement; the smallest visible difference is "
        "0.00032" in sentence(within)
    )
    assert "outside the noise band of 8 draws in all weights" in sentence(beyond)
    report = small_report().model_copy(update={"comparisons": (within,)})
    assert sentence(within) in [one.text for one in answers(report)]


def test_the_terminal_prints_few_pairs_field_by_field() -> None:
    """Of six pairs the tables; of more the rest is counted, and each has its sentence."""

    def printed(count: int) -> str:
        report: Report = small_report(comparisons=(noisy("within_noise"),) * count)
        console = Console(file=io.StringIO(), width=200)
        print_report(report, console, "details")
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue()

    assert 6 == printed(6).count("all weights")
    assert 6 == printed(8).count("all weights")
    assert "2 more of 8 pairs" in printed(8)
    assert "more of" not in printed(6)
    assert 8 == printed(8).count("the smallest visible difference")
