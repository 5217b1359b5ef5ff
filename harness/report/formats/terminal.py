"""A document -> a terminal of any width: the conclusions first, then what explains them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, assert_never

from rich.console import Console
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
from harness.report.formats.terminal_table import print_table
from harness.report.text.answers import Answer
from harness.report.text.summary import NOTHING_COMPARED
from harness.report.text.verdict import tone
from harness.results.report import Report

__all__ = ["Amount", "print_document", "print_report"]

Amount = Literal["quiet", "normal", "details"]
"""How much is printed: the conclusions, also their explanation, or every section."""

_EXPLAIN = ("upgrade", "explanation", "causes", "baseline")
"""Sections that explain a conclusion."""
_WARNINGS = 6
"""Warnings at most, unless every section is printed."""
_SUBSECTIONS = 6
"""Subsections of a section at most, if some may be omitted."""
_COLOURS = {"good": "green", "bad": "red", "unsure": "yellow"}
_MARKS = {"good": "✓", "bad": "✗", "unsure": "?"}
_STYLES = {"plain": "", "warning": "yellow", "failed": "red"}


def print_report(report: Report, console: Console, amount: Amount = "normal") -> None:
    """Print a report without plots."""
    print_document(document_of(report), console, amount)


def print_document(document: Document, console: Console, amount: Amount = "normal") -> None:
    """Print the verdict and its conclusions, then as many sections as `amount` asks for."""
    _print_text(document.headline, console, f"bold {_COLOURS[document.tone]}")
    for answer in document.answers or (Answer(NOTHING_COMPARED),):
        _print_answer(answer, console)
    if amount == "quiet":
        return
    sections = [one for one in document.sections if amount == "details" or one.anchor in _EXPLAIN]
    for section in sections:
        if any(_is_printed(block) for block in section.blocks):
            _print_section(section, console)
    if amount == "normal":
        _print_warnings(document, sections, console)


def _print_answer(answer: Answer, console: Console) -> None:
    mark = Text()
    if answer.outcome:
        kind = tone(answer.outcome)
        mark.append(f"{_MARKS[kind]} ", style=_COLOURS[kind])
    _print_wrapped(mark.append(printable(answer.text)), console)
    for line in answer.details:
        _print_wrapped(Text(printable(line)), console, indent=4)


def _print_warnings(document: Document, shown: list[Section], console: Console) -> None:
    """The warnings of the sections that are not shown, which nobody should miss."""
    hidden = [section for section in document.sections if section not in shown]
    told = " ".join(answer.text for answer in document.answers)
    found = dict.fromkeys(
        block.text
        for section in hidden
        for block in _flat(section.blocks)
        if isinstance(block, Sentence) and block.style == "warning" and block.text not in told
    )
    if not found:
        return
    console.print()
    for text in list(found)[:_WARNINGS]:
        _print_text(f"Warning: {text}", console, _STYLES["warning"])
    if len(found) > _WARNINGS:
        _print_text(f"{len(found) - _WARNINGS} more warnings: see report.html, or use -v.", console)


def _flat(blocks: tuple[Block, ...]) -> Iterator[Block]:
    for block in blocks:
        if isinstance(block, Subsection):
            yield from _flat(block.blocks)
        else:
            yield block


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
            print_table(block, console, "" if block.name == heading else block.name)
        case Figures() | Folded():
            pass  # graphics, and details that would bury the rest
        case CauseCard():
            _print_cause(block, console)
        case Command():
            console.print(Text(printable(block.text)), soft_wrap=True)
        case Subsection():
            if _is_printed(block):
                _print_subsection(block, console)
        case _:
            assert_never(block)


def _print_cause(cause: CauseCard, console: Console) -> None:
    names = ", ".join(filter(None, (cause.id, cause.reference)))
    title = f"{cause.label}: {cause.title}" + (f" ({names})" if names else "")
    _print_text(title, console, "cyan")
    for line in cause.lines:
        _print_text(f"  {line}", console)
    for pair, evidence in cause.evidence:
        if evidence:
            _print_text(f"Evidence, {pair}: {evidence}.", console)
    if cause.remedy:
        _print_text(f"Remedy: {cause.remedy}.", console)


def _print_subsection(subsection: Subsection, console: Console) -> None:
    heading = Text(printable(subsection.title), style="underline")
    if subsection.outcome:
        style = _COLOURS[tone(subsection.outcome)]
        heading.append(": ")
        heading.append(Text(printable(subsection.outcome), style=style))
    _print_wrapped(heading, console)
    for block in subsection.blocks:
        _print_block(block, console, subsection.title)


def _print_text(text: str, console: Console, style: str = "") -> None:
    """Print text; rich interprets no markup in it."""
    _print_wrapped(Text(printable(text), style=style), console)


def _print_wrapped(text: Text, console: Console, indent: int = 0) -> None:
    """Print text in lines that end without blanks."""
    for line in text.wrap(console, max(1, console.width - indent)):
        line.rstrip()
        console.print(Text(" " * indent).append_text(line), soft_wrap=True)
