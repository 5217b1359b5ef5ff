"""A document -> a terminal: the sections first, the conclusions and the verdict last."""

from __future__ import annotations

from typing import assert_never

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from harness.report.assemble import document_of
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
from harness.report.text.summary import NOTHING_COMPARED
from harness.report.text.verdict import tone
from harness.results.report import Report

__all__ = ["print_document", "print_report"]

_ROWS = 40
"""Rows of a table at most."""
_NAME = 20
"""Characters of the name of a row that stay on one line."""
_SUBSECTIONS = 6
"""Subsections of a section at most, if some may be omitted."""
_COLOURS = {"good": "green", "bad": "red", "unsure": "yellow"}
_STYLES = {"plain": "", "warning": "yellow", "failed": "red"}


def print_report(report: Report, console: Console) -> None:
    """Print a report without plots."""
    print_document(document_of(report), console)


def print_document(document: Document, console: Console) -> None:
    """Print each section, then the conclusions, then the verdict, which is seen last."""
    for section in document.sections:
        if any(_is_printed(block) for block in section.blocks):
            _print_section(section, console)
    console.print()
    for line in document.sentences or (NOTHING_COMPARED,):
        _print_text(line, console)
    verdict = Text()
    verdict.append(printable(document.headline), style=f"bold {_COLOURS[document.tone]}")
    verdict.append(f" ({document.verdict})")
    console.print(verdict)


def _print_section(section: Section, console: Console) -> None:
    console.print()
    _print_text(section.title, console, style="bold")
    seen = 0
    for block in section.blocks:
        if isinstance(block, Subsection) and section.subject:
            seen += 1
            if seen > _SUBSECTIONS:
                continue
        _print_block(block, console)
    if seen > _SUBSECTIONS:
        left_out = seen - _SUBSECTIONS
        _print_text(f"{left_out} more of {seen} {section.subject} are in report.html.", console)


def _is_printed(block: Block) -> bool:
    """Whether a block is shown here at all."""
    if isinstance(block, Subsection):
        return any(_is_printed(inner) for inner in block.blocks)
    return not isinstance(block, Figures | Folded)


def _print_block(block: Block, console: Console, heading: str = "") -> None:
    """A block under `heading`, whose name is not repeated."""
    match block:
        case Sentence():
            _print_text(block.text, console, _STYLES[block.style])
        case Bullets():
            for item in block.items:
                _print_text(f"- {item}", console)
        case Values():
            for name, value in block.pairs:
                _print_text(f"  {name}: {value}", console)
        case Table():
            _print_table(block, console, "" if block.name == heading else block.name)
        case Figures() | Folded():
            pass  # graphics, and details that would bury the rest
        case CauseCard():
            where = f", {block.reference}" if block.reference else ""
            _print_text(f"{block.label}: {block.title} ({block.id}{where})", console, "cyan")
            _print_text(f"Evidence: {block.evidence}.", console)
            _print_text(f"Remedy: {block.remedy}.", console)
        case Command():
            console.print(Text(printable(block.text)), soft_wrap=True)
        case Subsection():
            if _is_printed(block):
                _print_subsection(block, console)
        case _:
            assert_never(block)


def _print_subsection(subsection: Subsection, console: Console) -> None:
    heading = Text(printable(subsection.title), style="underline")
    if subsection.outcome:
        heading.append(": ")
        heading.append(_outcome(subsection.outcome))
    console.print(heading)
    for block in subsection.blocks:
        _print_block(block, console, subsection.title)


def _print_table(table: Table, console: Console, title: str) -> None:
    """The columns that fit a terminal, under the title; the caption after them."""
    shown = [place for place, column in enumerate(table.columns) if not column.detail]
    drawn = RichTable(title=Text(printable(title)) if title else None, title_justify="left")
    for place in shown:
        column = table.columns[place]
        names_row = place == table.heading_column
        right = column.kind == "number" and not names_row
        longest = max((len(row[place]) for row in table.rows), default=0)
        drawn.add_column(
            Text(printable(column.heading)),
            justify="right" if right else "left",
            overflow="fold",
            min_width=min(longest, _NAME) if names_row else None,
        )
    for row in table.rows[:_ROWS]:
        cells = (
            _outcome(row[place])
            if table.columns[place].kind == "outcome"
            else Text(" ".join(printable(row[place]).split()))
            for place in shown
        )
        drawn.add_row(*cells)
    console.print(drawn)
    if len(table.rows) > _ROWS:
        count = len(table.rows)
        _print_text(f"{count - _ROWS} more of {count} rows are in report.html.", console)
    if table.caption:
        _print_text(table.caption, console, "dim")


def _outcome(word: str) -> Text:
    return Text(printable(word), style=_COLOURS[tone(word)])


def _print_text(text: str, console: Console, style: str = "") -> None:
    """Print text; rich interprets no markup in it."""
    console.print(Text(printable(text), style=style))
