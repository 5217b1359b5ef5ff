"""A table on a terminal: as columns if it fits the width, else each row as a list of values."""

from __future__ import annotations

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from harness.report.document import Column, Table
from harness.report.escape import printable
from harness.report.text.verdict import tone

__all__ = ["print_table"]

_ROWS = 40
"""Rows of a table at most."""
_WORDS = 24
"""Characters of a line of prose that a column needs at least."""
_FRAME = 3  # characters between two columns
_COLOURS = {"good": "green", "bad": "red", "unsure": "yellow"}


def print_table(table: Table, console: Console, title: str) -> None:
    """The columns that are no detail, under the title; the caption after them.

    A number or a name is never broken or cut: if the columns do not fit, each row is a list.
    """
    shown = [place for place, column in enumerate(table.columns) if not column.detail]
    rows = [[" ".join(printable(row[place]).split()) for place in shown] for row in table.rows]
    heading = shown.index(table.heading_column) if table.heading_column in shown else 0
    columns = [table.columns[place] for place in shown]
    needed = [_needed(column, [row[n] for row in rows]) for n, column in enumerate(columns)]
    if title:
        console.print(Text(printable(title)))
    if sum(needed) + _FRAME * len(needed) + 1 <= console.width:
        _print_columns(columns, rows[:_ROWS], needed, heading, console)
    else:
        _print_lists(columns, rows[:_ROWS], heading, console)
    if len(rows) > _ROWS:
        text = f"{len(rows) - _ROWS} more of {len(rows)} rows are in report.html."
        console.print(Text(text))
    if table.caption:
        console.print(Text(printable(table.caption), style="dim"))


def _needed(column: Column, cells: list[str]) -> int:
    """The least width of a column: whole cells, or some words of prose."""
    longest = max(map(cell_len, cells), default=0)
    if column.kind == "prose":
        words = max((cell_len(word) for cell in cells for word in cell.split()), default=0)
        longest = max(min(longest, _WORDS), words)
    return max(longest, max(map(cell_len, printable(column.heading).split()), default=0))


def _print_columns(
    columns: list[Column], rows: list[list[str]], needed: list[int], heading: int, console: Console
) -> None:
    drawn = RichTable()
    for place, column in enumerate(columns):
        right = column.kind == "number" and place != heading
        drawn.add_column(
            Text(printable(column.heading)),
            justify="right" if right else "left",
            overflow="fold",
            min_width=needed[place],
        )
    for row in rows:
        drawn.add_row(*(_cell(column, text) for column, text in zip(columns, row, strict=True)))
    console.print(drawn)


def _print_lists(
    columns: list[Column], rows: list[list[str]], heading: int, console: Console
) -> None:
    for row in rows:
        console.print(Text(row[heading], style="bold"))
        for place, (column, text) in enumerate(zip(columns, row, strict=True)):
            if text and place != heading:
                note = f" ({column.note})" if column.note else ""
                line = Text(printable(f"  {column.heading}{note}: "))
                console.print(line.append_text(_cell(column, text)))


def _cell(column: Column, text: str) -> Text:
    return Text(text, style=_COLOURS[tone(text)] if column.kind == "outcome" else "")
