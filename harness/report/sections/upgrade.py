"""The changes between versions of the libraries, and the result of a bisection."""

from __future__ import annotations

from harness.report.document import Block, Bullets, Column, Section, Subsection, Table
from harness.report.sections.source import Source
from harness.report.text.upgrade import bisection_lines, lists
from harness.results.upgrade import BisectResult, UpgradeResult

__all__ = ["section"]


def section(source: Source) -> Section | None:
    """The upgrade and the bisection; none if the report has neither."""
    blocks: list[Block] = []
    if source.report.upgrade is not None:
        blocks += _upgrade(source.report.upgrade)
    if source.report.bisect is not None:
        blocks.append(_bisection(source.report.bisect))
    if not blocks:
        return None
    return Section("upgrade", "Changes", tuple(blocks))


def _upgrade(upgrade: UpgradeResult) -> list[Block]:
    blocks: list[Block] = [
        Subsection(heading, (Bullets(sentences),)) for heading, sentences in lists(upgrade)
    ]
    if upgrade.packages:
        columns = (Column("package", "text"), *(Column(side, "text") for side in upgrade.sides))
        rows = tuple(
            (change.name, *(version or "absent" for version in change.versions))
            for change in upgrade.packages
        )
        blocks.append(Table("Packages with different versions", columns, rows))
    return blocks


def _bisection(bisect: BisectResult) -> Subsection:
    lines = tuple(bisection_lines(bisect))
    return Subsection(f"Bisection of {bisect.package}", (Bullets(lines),))
