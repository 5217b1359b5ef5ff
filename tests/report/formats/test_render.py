"""The files of a report. Whole outputs are in `golden/`; HARNESS_UPDATE_GOLDEN=1 rewrites them.

Read the change with `git diff tests/report/formats/golden` before it is committed.
"""

import io
import json
import os
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.api.shown import ShownReport
from harness.errors import SpecError
from harness.report.document import Column, Table
from harness.report.formats.comment import LINES, comment
from harness.report.formats.csv_table import tidy
from harness.report.formats.junit import junit
from harness.report.formats.terminal import Amount, print_report
from harness.report.formats.terminal_table import print_table
from harness.report.render import render
from harness.report.text.answers import answers
from harness.report.text.summary import sentence
from harness.report.text.values import shown
from harness.report.text.verdict import HEADLINES, headline
from harness.report.write import DEFAULT_FORMATS, FORMATS, write
from harness.results.report import Report
from tests.support.judged_reports import bench_report, gated_report
from tests.support.small_report import (
    AWKWARD,
    DIFFERENT,
    IDENTICAL,
    SEEDS,
    explained_report,
    run,
    seeds_report,
    small_report,
)

GOLDEN = Path(__file__).parent / "golden"


NOW = datetime(2026, 11, 23, tzinfo=UTC)
REPORTS = {
    "": small_report(),
    "seeds": seeds_report(),
    "explained": explained_report(),
    "bench": bench_report(),
    "gate": gated_report(),
}


def text_of(report: Report, name: str) -> str:
    """A file of the report, as it is written on a fixed day."""
    if name == "report.csv":
        return tidy(report)
    if name == "comment.md":
        return comment([report], report)
    return junit(report) if name == "junit.xml" else render(report, name, now=NOW)


@pytest.mark.parametrize(
    "name", ["report.md", "report.html", "cell.html", "report.csv", "junit.xml", "comment.md"]
)
@pytest.mark.parametrize("folder", REPORTS)
def test_a_file_is_the_golden_one(name: str, folder: str) -> None:
    """The whole file of the small report, of several seeds, an explanation, a bench and a check is
    as it was accepted."""
    path, report = GOLDEN / folder / name, REPORTS[folder]
    if os.environ.get("HARNESS_UPDATE_GOLDEN") == "1":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text_of(report, name), encoding="utf-8")

    expected = path.read_text(encoding="utf-8")
    assert expected == text_of(report, name)
    assert expected != text_of(small_report(comparisons=(IDENTICAL,)), name)


class Elements(HTMLParser):
    """Names of the elements of a page, and of those left open."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.append(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def awkward_report() -> Report:
    """A report in which every text that somebody else chose is awkward."""
    first = DIFFERENT.first_divergence
    assert first is not None
    return small_report(
        comparisons=(
            DIFFERENT.model_copy(
                update={
                    "candidate": AWKWARD,
                    "doubts": (AWKWARD,),
                    "first_divergence": first.model_copy(
                        update={"tensor": AWKWARD, "candidate": AWKWARD}
                    ),
                }
            ),
        ),
        runs=(
            run(
                AWKWARD,
                status="failed",
                error=AWKWARD,
                warnings=(AWKWARD,),
                final_metrics={AWKWARD: 1.0},
                overrides={"sampler": AWKWARD},
                record=AWKWARD,
            ),
        ),
        recipes={"tiny": {"data": AWKWARD, "sampler": AWKWARD}},
        environment={"host": AWKWARD},
        command=("harness", AWKWARD),
    )


@pytest.mark.parametrize(("template", "count"), [("report.html", 12), ("cell.html", 8)])
def test_html_escapes_what_others_wrote(template: str, count: int) -> None:
    """No text from outside becomes markup, at any place of the page."""
    page = render(awkward_report(), template)
    found = Elements(page)

    assert "script" not in found.seen
    assert [] == found.open
    assert page.count("&lt;script&gt;") >= count
    assert "script" in Elements("<p><script></script></p>").seen


def test_a_cell_of_markdown_keeps_its_table_whole() -> None:
    """In each table of the page all rows have as many cells as the heading."""
    page = render(awkward_report(), "report.md")
    widths = [
        {len(re.split(r"(?<!\\)\|", line)) for line in block.splitlines() if line.startswith("|")}
        for block in re.split(r"\n(?!\|)", page)
        if block.lstrip("\n").startswith("|")
    ]

    assert len(widths) >= 3
    assert all(len(width) == 1 for width in widths), widths
    assert "<script>" not in re.sub(r"`[^`]*`", "", page)


def test_a_table_of_markdown_begins_after_a_blank_line() -> None:
    """A table right under a list would be read as a part of its last item."""
    lines = render(small_report(), "report.md").splitlines()
    heads = [number for number, line in enumerate(lines) if line.startswith("|--")]

    assert len(heads) >= 3
    assert [""] * len(heads) == [lines[number - 2] for number in heads]


@pytest.mark.parametrize("page", ["report.md", "report.html", "cell.html"])
@pytest.mark.parametrize("verdict", HEADLINES)
def test_every_verdict_has_a_headline(page: str, verdict: str) -> None:
    """The page begins with what it concludes, also where there was nothing to compare."""
    found = render(small_report(verdict=verdict, comparisons=(), runs=()), page)

    assert HEADLINES[verdict] in found  # type: ignore[index,unused-ignore]
    assert "nothing was compared" in found.lower()


def test_a_report_shows_itself_in_a_notebook() -> None:
    """As a cell without styles that would reach the rest of the page, and as a few lines."""
    report = ShownReport.model_validate(small_report().model_dump())
    assert render(report, "cell.html") == report._repr_html_()
    assert "<style" not in report._repr_html_()
    assert [
        "accelerated against plain: identical, bit for bit, at all 6 steps",
        "verdict: different",
    ] == repr(report).splitlines()[::2]


def test_all_formats_are_written(tmp_path: Path) -> None:
    """Each format has its file, and no temporary one is left."""
    written = write(small_report(), tmp_path)

    assert sorted(FORMATS[name] for name in DEFAULT_FORMATS) == sorted(
        path.name for path in tmp_path.iterdir()
    )
    assert sorted(written) == sorted(tmp_path.iterdir())
    assert "different" == json.loads((tmp_path / "report.json").read_text("utf-8"))["verdict"]


def test_only_what_was_asked_for_is_written(tmp_path: Path) -> None:
    """One format, one file."""
    assert [tmp_path / "report.md"] == write(small_report(), tmp_path, ["md"])
    assert ["report.md"] == [path.name for path in tmp_path.iterdir()]


def test_an_unknown_format_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    """The known ones are named, and the formats before it in the list leave nothing."""
    with pytest.raises(SpecError, match=r"unknown format .*'htm'.*'html'.*known: md, html, json"):
        write(small_report(), tmp_path, ["md", "htm"])

    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "none"),
        (0.1 + 0.2, "0.3"),
        (1.0000001, "1.0000001"),
        ([1, 2], "[1, 2]"),
        (list(range(13)), "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, ...]"),
        ({"rows": 8, "f1": 0.5}, "rows 8, f1 0.5"),
        ("00ff", "00ff"),
    ],
)
def test_values_are_shown_short(value: object, expected: str) -> None:
    """Numbers keep what single precision holds; long lists are cut."""
    assert expected == shown(value)


def printed(report: Report, amount: Amount = "details", width: int = 200) -> str:
    """What a terminal shows, without colours."""
    console = Console(width=width, file=io.StringIO())
    print_report(report, console, amount)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("amount", ["quiet", "normal", "details"])
@pytest.mark.parametrize("name", REPORTS)
def test_a_terminal_of_80_columns_is_the_golden_one(name: str, amount: Amount) -> None:
    """The whole output, quiet, by default and with details; no line is wider."""
    path = GOLDEN / name / f"terminal-{amount}.txt"
    found = printed(REPORTS[name], amount, 80)
    if os.environ.get("HARNESS_UPDATE_GOLDEN") == "1":
        path.write_text(found, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == found
    assert max(map(len, found.splitlines())) <= 80


def test_a_number_is_never_broken_or_cut() -> None:
    """Each cell of a table of numbers is whole in 80 columns; in 40, each row becomes a list."""
    numbers = ("0.123456789", "1.23457e-10", "12345.678901")
    columns = tuple(Column(f"quantity {place}") for place in range(3))
    table = Table("Numbers", columns, (numbers,))
    for width in (80, 40):
        console = Console(width=width, file=io.StringIO())
        print_table(table, console, table.name)
        assert isinstance(console.file, io.StringIO)
        text = console.file.getvalue()
        assert all(number in text for number in numbers)
        assert ("┃" in text) == (width == 80)


def test_the_terminal_begins_with_the_verdict() -> None:
    """Then one line for each pair; causes once; the warnings of what is not shown."""
    lines = printed(small_report(), "normal").splitlines()

    assert "The loops differ" == lines[0]
    assert "✓ accelerated against plain: identical, bit for bit, at all 6 steps" == lines[1]
    assert lines[2].startswith("✗ trainer against plain: different, first at step 3")
    assert 1 == sum("(loss-not-divided" in line for line in lines)
    assert "Warning: trainer: loss is nan at step 5" in lines
    assert "Warning: tiny, trainer: one class only" in lines


def test_a_quiet_terminal_shows_conclusions_alone() -> None:
    """The verdict and the pairs; all sections with details."""
    quiet, details = (printed(small_report(), amount) for amount in ("quiet", "details"))
    assert 3 == len(quiet.splitlines())
    assert "To reproduce" in details
    assert "To reproduce" not in printed(small_report(), "normal")


def test_a_pair_that_follows_from_others_is_not_told() -> None:
    """If two loops are identical, the third differs from both alike; else all three are told."""
    follows = DIFFERENT.model_copy(update={"reference": "accelerated", "doubts": ()})
    for same, expected in ((IDENTICAL, 2), (DIFFERENT, 3)):
        first = same.model_copy(update={"candidate": "accelerated"})
        report = small_report(comparisons=(first, DIFFERENT, follows))
        pairs = [line for line in printed(report, "quiet").splitlines() if " against " in line]
        assert expected == len(pairs)
        assert "whose result follows" in render(report, "report.html") or expected == 3


@pytest.mark.parametrize("amount", ["quiet", "normal"])
def test_no_line_of_a_text_ends_with_blanks(amount: Amount) -> None:
    """Where it is wrapped, and where it is indented below an answer."""
    lines = printed(bench_report(), amount, 80).splitlines()
    assert any(line.startswith("    ") for line in lines)
    assert [] == [line for line in lines if line != line.rstrip()]


def test_a_run_that_failed_says_why_first() -> None:
    """Its pair has no line of its own, and no doubt that follows from it is shown."""
    error = "KeyError: 'x' (loop.py:7)"
    failed = run("trainer", status="failed", error=error)
    pair = DIFFERENT.model_copy(
        update={
            "outcome": "incomparable",
            "first_divergence": None,
            "doubts": (f"trainer failed: {error}", "the trained model was not evaluated"),
            "causes": (),
        }
    )
    report = small_report(verdict="failed", comparisons=(pair,), runs=(run("plain"), failed))
    assert ["A run failed", f"✗ trainer failed: {error}"] == printed(report, "normal").splitlines()
    assert "was not evaluated" not in render(report, "report.html")


def test_the_terminal_gathers_seeds() -> None:
    """A row a loop with mean and deviation, sqrt(0.0125 / 3) = 0.0645; a row a metric; a line for
    like seeds."""
    found = printed(seeds_report())
    lines = found.splitlines()

    assert 2 == sum("42 to 45" in line and "4 completed" in line for line in lines)
    assert 2 == sum("0.825 ± 0.065" in line and "completed" in line for line in lines)
    assert 1 == sum("[-0.01, 0.06]" in line and "±0.05" in line and " 9 " in line for line in lines)
    assert any(
        line == "seeds 42 to 44: different, values differ from step 3, gradients" for line in lines
    )
    assert any(
        "seed 45: identical, bit for bit; excluded from the metrics: plain" in x for x in lines
    )
    assert "42 to 45" not in printed(small_report())
    assert len(lines) < 50


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (
            "equivalent",
            "equivalent in final metrics, accuracy [-0.00352, 0.00452] within ±0.02 "
            "(two one-sided t-tests at 5% each, paired, over 3 seeds)",
        ),
        ("identical", "identical, bit for bit, at all 6 steps with each of 4 seeds"),
        (
            "inconclusive",
            "inconclusive; evaluation loss: its interval reaches across ±0.05; "
            "about 9 seeds would tell",
        ),
    ],
)
def test_a_sentence_describes_several_seeds(outcome: str, expected: str) -> None:
    """The outcome, the intervals that it rests on, and the test."""
    found = SEEDS.model_copy(update={"outcome": outcome})
    assert f"trainer against plain: {expected}" == sentence(found)


def test_the_terminal_takes_no_markup_from_others() -> None:
    """Square brackets in names and metrics are shown, not obeyed."""
    text = "[red]x[/red]"
    found = printed(
        small_report(
            runs=(run(text, final_metrics={text: 1.0}, error=text, status="failed"),),
            comparisons=(IDENTICAL.model_copy(update={"candidate": text, "doubts": (text,)}),),
        )
    )

    assert found.count(text) >= 5


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        ("identical", "The loops are the same"),
        ("within_noise", "The loops are the same except for rounding"),
        ("equivalent", "The loops reach equivalent final metrics"),
    ],
)
def test_the_headline_gives_the_strength_of_the_agreement(outcome: str, words: str) -> None:
    """It is that of the pair that agrees least; a difference is never called an agreement."""
    pairs = (IDENTICAL, IDENTICAL.model_copy(update={"outcome": outcome}))
    agreeing = small_report().model_copy(update={"comparisons": pairs, "verdict": "equivalent"})
    assert words == headline(agreeing)
    assert HEADLINES["different"] == headline(agreeing.model_copy(update={"verdict": "different"}))


def test_a_comment_has_at_most_60_lines_whatever_it_reports() -> None:
    """Of 90 pairs the first stand in it and the rest is counted; no text of others is markup."""
    pair = DIFFERENT.model_copy(update={"candidate": AWKWARD})
    pairs = [pair.model_copy(update={"case": f"case-{number}"}) for number in range(90)]
    report = small_report(comparisons=tuple(pairs))

    text = comment([report, bench_report(), gated_report()] * 9, report)

    assert LINES == len(text.splitlines())
    assert "more are in the report" in text
    assert "<script>" not in text
    assert all(line.startswith("|") for line in text.splitlines()[4:20])
    assert all(one.text[:7] in comment([report], report) for one in answers(report)[:3])
