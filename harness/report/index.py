"""The index of output folders: a table in a README.md, made from what the folders hold.

A folder is described by its `report.json` and by a `README.md` of its own. The first paragraph of
that README states what the folder shows. A paragraph that begins with "Made by" holds the command.
If a folder has both files, the report gives the verdict and the command, and the README the text.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from harness.errors import SpecError
from harness.report.escape import markdown_cell
from harness.report.text.answers import first_lines
from harness.report.text.verdict import headline
from harness.results.record import write_atomically
from harness.results.report import REPORT_FILE, Report

__all__ = ["BEGIN", "END", "PUBLISHED", "README", "has_index", "index_of", "write_index"]

BEGIN = "<!-- index: `harness index` writes the table below; do not edit it -->"
END = "<!-- end of index -->"
PUBLISHED = "published"
"""The folder of published reports, within a folder of reports."""
README = "README.md"

_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_MADE_BY = "Made by "


@dataclass(frozen=True)
class _Entry:
    """One row of the index."""

    name: str
    page: str
    """The file to read first, within the folder."""
    verdict: str
    command: str
    shows: str


def index_of(reports: Path) -> str:
    """The table: one row for each folder in `reports`/published, sorted by name.

    If there is no such folder, one row for each folder in `reports` that holds a report. Raises
    `SpecError` if there is no folder to list, `RecordError` if a `report.json` cannot be read.
    """
    folders, prefix = _folders(reports)
    if not folders:
        raise SpecError(
            "an index lists the output folders of harness commands",
            f"none in {reports}",
            "pass the folder that holds them, or run a command first",
        )
    lines = ["| report | verdict | made by | what it shows |", "|---|---|---|---|"]
    for folder in folders:
        entry = _entry(folder)
        link = f"[{markdown_cell(entry.name)}]({prefix}{entry.name}/{entry.page})"
        cells = (entry.verdict, entry.command, entry.shows)
        lines.append(f"| {link} | {' | '.join(map(markdown_cell, cells))} |")
    return "\n".join(lines)


def has_index(readme: Path) -> bool:
    """Whether a file has a place for an index."""
    return readme.is_file() and BEGIN in readme.read_text(encoding="utf-8")


def write_index(reports: Path) -> bool:
    """Write the index of `reports` into its README.md; return whether the file changed.

    A new file holds the index alone. In an existing file the index replaces what stands between the
    two marker lines. Raises `SpecError` if an existing file does not hold them, and as `index_of`.
    """
    table = index_of(reports)
    readme = reports / README
    before = ""
    text = f"# Reports\n\n{BEGIN}\n{END}\n"
    if readme.exists():
        before = readme.read_text(encoding="utf-8")
        text = before
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise SpecError(
            "an existing README.md holds the index between two marker lines",
            readme,
            f"add each of them once: {BEGIN} and {END}",
        )
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    text = f"{head}{BEGIN}\n\n{table}\n\n{END}{tail}"
    if text == before:
        return False
    with write_atomically(readme) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return True


def _folders(reports: Path) -> tuple[list[Path], str]:
    """The folders to list, and the path from the README.md to them."""
    published = reports / PUBLISHED
    if published.is_dir():
        return sorted(path for path in published.iterdir() if path.is_dir()), f"{PUBLISHED}/"
    return sorted(path.parent for path in reports.glob(f"*/{REPORT_FILE}")), ""


def _entry(folder: Path) -> _Entry:
    paragraph, command = _described(folder / README)
    if (folder / REPORT_FILE).is_file():
        report = Report.read(folder)
        lines = first_lines(report)
        more = f"; {len(lines) - 1} more in the report" if len(lines) > 1 else ""
        summary = f"{lines[0]}{more}" if lines else "nothing was compared"
        command = f"`{shlex.join(report.command)}`" if report.command else command
        return _Entry(folder.name, "report.md", headline(report), command, paragraph or summary)
    page = README if (folder / README).is_file() else ""
    files = ", ".join(sorted(path.name for path in folder.iterdir() if path.is_file()))
    return _Entry(folder.name, page, "", command, paragraph or f"{files}, without a README.md")


def _described(path: Path) -> tuple[str, str]:
    """First paragraph and command of a README.md, links as their text; empty if there is none."""
    try:
        blocks = path.read_text(encoding="utf-8").split("\n\n")
    except OSError:
        return "", ""
    plain = [" ".join(_LINK.sub(r"\1", block).split()) for block in blocks]
    commands = [block for block in plain if block.startswith(_MADE_BY)]
    prose = [block for block in plain if block and block[0] not in "#|`<" and block not in commands]
    command = commands[0].removeprefix(_MADE_BY).removesuffix(".") if commands else ""
    return (prose[0] if prose else ""), command
