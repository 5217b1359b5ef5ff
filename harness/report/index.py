"""The index of the published runs in reports/README.md, made from what lies in their folders.

A folder tells of itself by its `report.json`, and by a `README.md` of its own: the first paragraph
says what it shows, and a line that begins with "Made by" holds the command. Where both are there,
the report gives the verdict and the command, and the paragraph the words.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from harness.errors import SpecError
from harness.report.escape import markdown_cell
from harness.report.formats.page import headline
from harness.report.text.summary import first_lines
from harness.results.record import write_atomically
from harness.results.report import REPORT_FILE, Report

__all__ = ["BEGIN", "END", "has_index", "index_of", "write_index"]

BEGIN = "<!-- index: written by `harness index`, by nobody's hand -->"
END = "<!-- end of index -->"

_README = "README.md"
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_MADE_BY = "Made by "


@dataclass(frozen=True)
class _Entry:
    """What a published folder says of itself."""

    name: str
    page: str
    """The file to read first, within the folder."""
    verdict: str
    command: str
    shows: str


def index_of(published: Path) -> str:
    """The table, one row a folder below `published`, by name.

    Raises `RecordError` where a `report.json` there cannot be read.
    """
    lines = ["| published | verdict | made by | what it shows |", "|---|---|---|---|"]
    for folder in sorted(path for path in published.iterdir() if path.is_dir()):
        found = _entry(folder)
        link = f"[{markdown_cell(found.name)}]({published.name}/{found.name}/{found.page})"
        cells = (found.verdict, found.command, found.shows)
        lines.append(f"| {link} | {' | '.join(map(markdown_cell, cells))} |")
    return "\n".join(lines)


def has_index(readme: Path) -> bool:
    """Whether a file keeps a place for an index."""
    return readme.is_file() and BEGIN in readme.read_text(encoding="utf-8")


def write_index(readme: Path, published: Path) -> bool:
    """Put the index of `published` between its two lines in `readme`; whether that changed it.

    Raises `SpecError` where the lines are not there.
    """
    try:
        before = readme.read_text(encoding="utf-8")
    except OSError:
        before = ""
    if (
        before.count(BEGIN) != 1
        or before.count(END) != 1
        or before.index(BEGIN) > before.index(END)
    ):
        raise SpecError(
            "an index stands between two lines of its own",
            readme,
            f"write them into it, each once: {BEGIN} and {END}",
        )
    head, rest = before.split(BEGIN)
    tail = rest.split(END)[1]
    text = f"{head}{BEGIN}\n\n{index_of(published)}\n\n{END}{tail}"
    if text == before:
        return False
    with write_atomically(readme) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return True


def _entry(folder: Path) -> _Entry:
    paragraph, command = _told(folder / _README)
    if (folder / REPORT_FILE).is_file():
        report = Report.read(folder)
        lines = first_lines(report)
        more = f"; {len(lines) - 1} more in the report" if len(lines) > 1 else ""
        said = f"{lines[0]}{more}" if lines else "nothing was compared"
        command = f"`{shlex.join(report.command)}`" if report.command else command
        return _Entry(folder.name, "report.md", headline(report), command, paragraph or said)
    page = _README if (folder / _README).is_file() else ""
    files = ", ".join(sorted(path.name for path in folder.iterdir() if path.is_file()))
    return _Entry(folder.name, page, "", command, paragraph or f"{files}, without a README.md")


def _told(path: Path) -> tuple[str, str]:
    """First paragraph and command of a README.md, links as their text; empty: there is none."""
    try:
        blocks = path.read_text(encoding="utf-8").split("\n\n")
    except OSError:
        return "", ""
    plain = [" ".join(_LINK.sub(r"\1", block).split()) for block in blocks]
    commands = [block for block in plain if block.startswith(_MADE_BY)]
    words = [block for block in plain if block and block[0] not in "#|`<" and block not in commands]
    command = commands[0].removeprefix(_MADE_BY).removesuffix(".") if commands else ""
    return (words[0] if words else ""), command
