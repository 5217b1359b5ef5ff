"""A document -> Markdown for a repository or the summary of a build. Nothing is read here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import assert_never

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
from harness.report.escape import markdown_cell, printable
from harness.report.text.answers import Answer
from harness.report.text.summary import NOTHING_COMPARED

__all__ = ["MARKDOWN_BYTES", "markdown"]

MARKDOWN_BYTES = 60_000
"""The limit of `report.md`: a step summary on GitHub takes 1 MiB, and a reader less."""


@dataclass(frozen=True)
class _Limits:
    """How much of a document is printed."""

    rows: int
    """Of a table; also the subsections of a section that may omit some."""
    details: bool = False
    """Whether folded blocks are printed."""


_LIMITS = (_Limits(80, details=True), *map(_Limits, (80, 40, 20, 10, 5)))
"""The first limits with which the whole fits are used."""
_MARKS = ("#", "-", "+", "*", ">", "=", "~", "`")
_NUMBERED = re.compile(r"^(\d+)([.)])")


def markdown(document: Document) -> str:
    """The whole file, at most `MARKDOWN_BYTES`: long tables are cut, and their rows counted."""
    text = ""
    for limits in _LIMITS:
        text = "\n\n".join(_document(document, limits)) + "\n"
        if len(text.encode()) <= MARKDOWN_BYTES:
            return text
    return _cut(text)


def _document(document: Document, limits: _Limits) -> Iterator[str]:
    """The paragraphs, which a blank line separates."""
    yield f"# {markdown_cell(document.headline)}"
    if document.about:
        yield " · ".join(markdown_cell(f"{name}: {value}") for name, value in document.about)
    yield "\n".join(map(_answer, document.answers or (Answer(NOTHING_COMPARED),)))
    for section in document.sections:
        yield f"## {markdown_cell(section.title)}"
        if section.introduction:
            yield _paragraph(section.introduction)
        yield from _section(section, limits)


def _section(section: Section, limits: _Limits) -> Iterator[str]:
    """The blocks of a section; at most `limits.rows` subsections if some may be omitted."""
    seen = 0
    for block in section.blocks:
        if isinstance(block, Subsection) and section.subject:
            seen += 1
            if seen > limits.rows:
                continue
        yield from _block(block, limits)
    if seen > limits.rows:
        yield f"{seen - limits.rows} more of {seen} {section.subject} are in `report.html`."


def _block(block: Block, limits: _Limits, heading: str = "") -> Iterator[str]:
    """A block under `heading`, whose name is not repeated."""
    match block:
        case Sentence():
            yield _paragraph(block.text)
        case Bullets():
            yield _list(block.items)
        case Values():
            yield "\n".join(
                f"- **{markdown_cell(name)}**: {markdown_cell(value)}"
                for name, value in block.pairs
            )
        case Table():
            if block.name != heading:
                yield f"**{markdown_cell(block.name)}**"
            yield from _table(block, limits)
        case Figures():
            yield "Drawn in `report.html`."
        case CauseCard():
            yield from _cause(block)
        case Command():
            yield _fence(printable(block.text))
        case Folded():
            if not limits.details:
                return
            yield f"<details><summary>{markdown_cell(block.summary)}</summary>"
            for inner in block.blocks:
                yield from _block(inner, limits, block.summary)
            yield "</details>"
        case Subsection():
            outcome = f": {markdown_cell(block.outcome)}" if block.outcome else ""
            yield f"### {markdown_cell(block.title)}{outcome}"
            for inner in block.blocks:
                yield from _block(inner, limits, block.title)
        case _:
            assert_never(block)


def _paragraph(text: str) -> str:
    """One line that Markdown reads as a paragraph, whatever its first characters are."""
    line = markdown_cell(text)
    if line.startswith(_MARKS):
        return f"\\{line}"
    return _NUMBERED.sub(r"\1\\\2", line)


def _list(items: Sequence[str]) -> str:
    return "\n".join(f"- {markdown_cell(item)}" for item in items)


def _answer(answer: Answer) -> str:
    """One item of a list; its details are a list within it."""
    return "\n".join(
        [f"- {markdown_cell(answer.text)}", *(f"  - {markdown_cell(x)}" for x in answer.details)]
    )


def _cause(cause: CauseCard) -> Iterator[str]:
    names = ", ".join(filter(None, (cause.id, cause.reference)))
    title = markdown_cell(f"{cause.label}: {cause.title}")
    yield f"**{title}** ({markdown_cell(names)})" if names else f"**{title}**"
    items = [*cause.lines]
    items += [f"{pair}: {text}." if text else pair for pair, text in cause.evidence]
    items += [f"Remedy: {cause.remedy}."] if cause.remedy else []
    yield _list(items)


def _table(table: Table, limits: _Limits) -> Iterator[str]:
    heads = [
        markdown_cell(column.heading) + (f" ({markdown_cell(column.note)})" if column.note else "")
        for column in table.columns
    ]
    rules = [
        "---:" if column.kind == "number" and place != table.heading_column else "---"
        for place, column in enumerate(table.columns)
    ]
    rows = [_row(map(markdown_cell, row)) for row in table.rows[: limits.rows]]
    yield "\n".join((_row(heads), f"|{'|'.join(rules)}|", *rows))
    if len(table.rows) > limits.rows:
        count = len(table.rows)
        yield f"{count - limits.rows} more of {count} rows are in `report.html`."
    if table.caption:
        yield _paragraph(table.caption)


def _row(cells: Iterator[str] | Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _fence(text: str) -> str:
    """A code block that its text cannot close."""
    ticks = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, ticks + 1)
    return f"{fence}sh\n{text}\n{fence}"


def _cut(text: str) -> str:
    """Whole lines up to the limit, and a last line that states the cut."""
    note = "\n\nCut here: `report.html` has the rest.\n"
    kept = text.encode()[: MARKDOWN_BYTES - len(note)].decode(errors="ignore")
    return kept[: kept.rindex("\n")] + note
