"""What a report shows, as frozen data: sections of sentences, tables and figures.

`sections/` makes a document, `formats/` prints it: every printer walks the same list. A text here
is plain text: each printer escapes what its format would take for markup.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from harness.report.plots.plot import Plot
from harness.report.text.answers import Answer
from harness.report.text.verdict import Tone

__all__ = [
    "Block",
    "Bullets",
    "CauseCard",
    "Column",
    "Command",
    "Document",
    "Figure",
    "Figures",
    "Folded",
    "Section",
    "Sentence",
    "Subsection",
    "Table",
    "Values",
    "filled_columns",
]


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    heading: str
    kind: Literal["number", "text", "prose", "outcome"] = "number"
    """Text is short, prose may be long; an outcome is shown by its tone."""
    note: str = ""
    """The unit, or which direction is better."""
    detail: bool = False
    """Whether a terminal, which is narrow, omits the column."""


@dataclass(frozen=True)
class Table:
    """Rows of texts under typed columns."""

    kind: ClassVar = "table"
    name: str
    """What the table holds; unique within the document."""
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    """Each row has a cell for each column."""
    caption: str = ""
    heading_column: int = 0
    """The column that names the row."""


def filled_columns(table: Table) -> Table:
    """The table without the columns in which no row has a value."""
    kept = [
        place
        for place in range(len(table.columns))
        if place == table.heading_column or any(row[place] not in ("", "-") for row in table.rows)
    ]
    return replace(
        table,
        columns=tuple(table.columns[place] for place in kept),
        rows=tuple(tuple(row[place] for place in kept) for row in table.rows),
        heading_column=kept.index(table.heading_column),
    )


@dataclass(frozen=True)
class Sentence:
    """One paragraph."""

    kind: ClassVar = "sentence"
    text: str
    style: Literal["plain", "warning", "failed"] = "plain"


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    kind: ClassVar = "bullets"
    items: tuple[str, ...]


@dataclass(frozen=True)
class Values:
    """Named values."""

    kind: ClassVar = "values"
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Figure:
    """One plot and its caption."""

    plot: Plot
    caption: str = ""


@dataclass(frozen=True)
class Figures:
    """Plots; a printer without graphics omits them."""

    kind: ClassVar = "figures"
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class CauseCard:
    """One cause of a difference."""

    kind: ClassVar = "cause"
    label: str
    title: str
    id: str
    reference: str
    """Where the cause is described; may be empty."""
    evidence: tuple[tuple[str, str], ...]
    """The pairs that it explains, each with what its records show."""
    remedy: str
    """Empty if the cause is a setting with both values."""
    explains_first: bool
    lines: tuple[str, ...] = ()
    """Lines of code that belong to it."""


@dataclass(frozen=True)
class Command:
    """A command line to copy."""

    kind: ClassVar = "command"
    text: str


@dataclass(frozen=True)
class Folded:
    """Details that a reader opens on demand; a terminal omits them."""

    kind: ClassVar = "folded"
    summary: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Subsection:
    """Blocks under one heading."""

    kind: ClassVar = "subsection"
    title: str
    blocks: tuple[Block, ...]
    outcome: str = ""
    """Shown after the title."""
    anchor: str = ""
    """Its id on a page; empty: none."""


Block = Sentence | Bullets | Values | Table | Figures | CauseCard | Command | Folded | Subsection


@dataclass(frozen=True)
class Section:
    """One section; `anchor` is its id on a page."""

    anchor: str
    title: str
    blocks: tuple[Block, ...]
    introduction: str = ""
    """Help for a reader of a page; a terminal and a notebook cell omit it."""
    subject: str = ""
    """A noun for its subsections, if a short printer may omit some and count them; else empty."""


@dataclass(frozen=True)
class Document:
    """A whole report, ready to be printed."""

    headline: str
    verdict: str
    tone: Tone
    answers: tuple[Answer, ...]
    """The conclusions, the most important first."""
    sections: tuple[Section, ...] = field(default=())
    about: tuple[tuple[str, str], ...] = ()
    """Named values that tell this report from others: its folder, case, date."""
    version: str = ""
    """The version of the harness that made the report."""

    @property
    def title(self) -> str:
        """The headline, with what tells this report from others."""
        told = [value for name, value in self.about if name in ("case", "cases", "run")]
        return " · ".join([self.headline, *told])
