"""Every printer walks the whole list of sections: what one shows, all show."""

import html
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest
from rich.console import Console

from harness.report.assemble import SECTIONS, document_of
from harness.report.document import (
    Block,
    Bullets,
    CauseCard,
    Command,
    Document,
    Figures,
    Folded,
    Section,
    Sentence,
    Subsection,
    Table,
    Values,
)
from harness.report.escape import printable
from harness.report.formats.markdown import markdown
from harness.report.formats.page import cell, page
from harness.report.formats.terminal import print_document
from harness.report.plots.collect import collect_plots
from harness.results.upgrade import BisectResult, PackageChange, Skipped, UpgradeResult
from tests.report.formats.test_page import hostile_report
from tests.support.judged_reports import bench_report, gated_report
from tests.support.run_folders import pair_report
from tests.support.small_report import explained_report, noisy, seeds_report, small_report

Printer = Callable[[Document], str]
_TAG = re.compile(r"<[^>]*>")
_MARKUP = re.compile(r"[\\*`]|&lt;")


def in_terminal(document: Document) -> str:
    """What a very wide terminal shows."""
    console = Console(file=io.StringIO(), width=20_000)
    print_document(document, console, "details")
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def bare(text: str) -> str:
    """Words alone, without the marks that a format adds or escapes."""
    words = printable(text).replace("<", "").replace("_", " ")
    return " ".join(_MARKUP.sub("", words).split())


def of_html(text: str) -> str:
    """The words of a page."""
    return bare(html.unescape(_TAG.sub(" ", text)))


PRINTERS: dict[str, Printer] = {
    "terminal": lambda document: bare(in_terminal(document)),
    "markdown": lambda document: bare(markdown(document)),
    "page": lambda document: of_html(page(document)),
    "cell": lambda document: of_html(cell(document)),
}


def texts_of(block: Block, short: bool) -> Iterator[str]:
    """Every text of a block; `short`: without what a terminal leaves out on purpose."""
    match block:
        case Sentence() | Command():
            yield block.text
        case Bullets():
            yield from block.items
        case Values():
            for pair in block.pairs:
                yield from pair
        case Table():
            for column in block.columns:
                yield "" if short and column.detail else column.heading
            for row in block.rows:
                for column, text in zip(block.columns, row, strict=True):
                    yield "" if short and column.detail else text
        case CauseCard():
            yield from (block.title, block.id, block.reference, block.remedy, *block.lines)
            for pair in block.evidence:
                yield from pair
        case Subsection():
            inside = [text for inner in block.blocks for text in texts_of(inner, short)]
            yield from (block.title, *inside) if inside or not short else ()
        case Folded():
            for inner in () if short else block.blocks:
                yield from texts_of(inner, short)
        case Figures():
            pass


def lost(document: Document, printers: dict[str, Printer]) -> list[tuple[str, str]]:
    """Printer and text, for each text of the document that a printer does not show."""
    found = []
    for name, printer in printers.items():
        shown = printer(document)
        for section in document.sections:
            short = name == "terminal"
            texts = [t for block in section.blocks for t in texts_of(block, short)]
            if any(texts):  # a terminal omits a section of which it shows nothing
                texts.append(section.title)
            found += [(name, text) for text in texts if bare(text) not in shown]
    return found


def upgraded_report() -> Document:
    """An upgrade and a bisection, with something in each list."""
    upgrade = UpgradeResult(
        sides=("torch 2.12", "torch 2.13"),
        packages=(PackageChange(name="torch", versions=("2.12", None)),),
        packages_same=30,
        changed=("the weights differ from step 3",),
        unchanged=("the data order",),
        unknown=("the step time",),
    )
    bisect = BisectResult(
        package="torch",
        good="2.12",
        bad="2.13",
        outcome="found",
        tested=("2.12", "2.13"),
        skipped=(Skipped(version="2.12.1", why="it does not install"),),
        released=3,
        sentence="torch 2.13 is the first that differs",
    )
    return document_of(small_report(upgrade=upgrade, bisect=bisect))


DOCUMENTS = {
    "small": document_of(small_report()),
    "seeds": document_of(seeds_report()),
    "explained": document_of(explained_report()),
    "bench": document_of(bench_report()),
    "gate": document_of(gated_report()),
    "noise": document_of(small_report(comparisons=(noisy("within_noise"),))),
    "upgrade": upgraded_report(),
    "empty": document_of(small_report(comparisons=(), runs=())),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_printer_shows_every_section(name: str) -> None:
    """Each title, sentence and cell; a terminal leaves out only folded blocks and detail."""
    document = DOCUMENTS[name]
    assert {"setup", "reproduce"} <= {section.anchor for section in document.sections}
    assert [] == lost(document, PRINTERS)


def test_every_printer_shows_curves_and_hostile_texts(tmp_path: Path) -> None:
    """With plots, in numbers also where no plot can be drawn; hostile text is shown as text."""
    for report in (pair_report(tmp_path / "pair"), hostile_report(tmp_path / "hostile")):
        folder = tmp_path / ("pair" if report.gate is None else "hostile")
        document = document_of(report, collect_plots(report, folder))
        assert "curves" in {section.anchor for section in document.sections}
        assert [] == lost(document, PRINTERS)


def test_every_section_is_in_some_document() -> None:
    """No function of the list goes untested; curves need records and have their own test."""
    anchors = {section.anchor for document in DOCUMENTS.values() for section in document.sections}
    assert len(SECTIONS) == len(anchors | {"curves"})


PLANTED = Section("planted", "A planted section", (Sentence("Nobody may drop this."),))


@pytest.mark.parametrize("name", PRINTERS)
def test_a_printer_that_drops_a_section_is_noticed(name: str) -> None:
    """Control: a planted section is in all printers, until one of them drops it."""
    document = DOCUMENTS["small"]
    planted = replace(document, sections=(*document.sections, PLANTED))
    dropping = {**PRINTERS, name: lambda _: PRINTERS[name](document)}

    assert [] == lost(planted, PRINTERS)
    expected = [(name, "Nobody may drop this."), (name, "A planted section")]
    assert expected == lost(planted, dropping)


@dataclass(frozen=True)
class Unknown:
    """A kind of block that no printer knows."""

    kind: ClassVar = "unknown"


@pytest.mark.parametrize("name", PRINTERS)
def test_a_block_of_an_unknown_kind_is_refused(name: str) -> None:
    """A new kind of block must reach every printer; none leaves it out in silence."""
    section = Section("new", "New", (Unknown(),))  # type: ignore[arg-type]  # planted
    document = replace(DOCUMENTS["small"], sections=(section,))
    with pytest.raises((AssertionError, TypeError)):
        PRINTERS[name](document)


def test_a_paragraph_of_markdown_is_no_other_block() -> None:
    """A text that begins like a heading, a list or a code block stays a paragraph."""
    texts = ("# x", "- x", "1. x", "2) x", "> x", "* x", "```", "=== x", "plain")
    section = Section("s", "S", tuple(Sentence(text) for text in texts))
    found = markdown(replace(DOCUMENTS["small"], sections=(section,))).splitlines()
    shown = ("\\# x", "\\- x", "1\\. x", "2\\) x", "\\> x", "\\* x", "\\```", "\\=== x", "plain")
    assert set(shown) <= set(found)
    assert not set(texts[:-1]) & set(found)


def test_every_row_has_a_cell_for_each_column() -> None:
    """And every column that names the rows is there."""
    for document in DOCUMENTS.values():
        tables = [t for section in document.sections for t in tables_of(section.blocks)]
        assert tables
        for table in tables:
            assert {len(table.columns)} >= {len(row) for row in table.rows}, table.name
            assert 0 <= table.heading_column < len(table.columns)


def tables_of(blocks: tuple[Block, ...]) -> Iterator[Table]:
    """All tables, also those within other blocks."""
    for block in blocks:
        if isinstance(block, Table):
            yield block
        elif isinstance(block, Folded | Subsection):
            yield from tables_of(block.blocks)


def test_the_names_of_tables_are_unique() -> None:
    """A reader who hears the page can tell its tables from one another."""
    for document in DOCUMENTS.values():
        names = [t.name for section in document.sections for t in tables_of(section.blocks)]
        assert len(names) == len(set(names))
