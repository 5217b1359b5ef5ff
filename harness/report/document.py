"""What a report shows, as frozen data: sections of sentences, tables and figures.

`sections/` makes a document, `formats/` prints it: every printer walks the same list. A text here
is plain text: each printer escapes what its format would take for markup.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from harness.report.plots.plot import Plot
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
    evidence: str
    remedy: str
    explains_first: bool


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
    sentences: tuple[str, ...]
    """The conclusions, the most important first."""
    sections: tuple[Section, ...] = field(default=())
    version: str = ""
    """The version of the harness that made the report."""
