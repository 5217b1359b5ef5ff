"""What is said of an upgrade and of a bisection: sentences, and the rows of the tables."""

from __future__ import annotations

from harness.upgrade.result import BisectResult, UpgradeResult

__all__ = ["first_lines", "lists", "skipped", "versions"]


def first_lines(upgrade: UpgradeResult) -> list[str]:
    """How much changed, in a line."""
    reference, *others = upgrade.sides
    counts = f"{len(upgrade.changed)} changed, {len(upgrade.unchanged)} did not"
    if upgrade.unknown:
        counts += f", {len(upgrade.unknown)} could not be told"
    return [f"from {reference} to {'; '.join(others)}: of what was looked at, {counts}"]


def lists(upgrade: UpgradeResult) -> list[tuple[str, tuple[str, ...]]]:
    """The sentences under their headings; no heading without any."""
    found = (
        ("What changed", upgrade.changed),
        ("What did not", upgrade.unchanged),
        ("What could not be told", upgrade.unknown),
    )
    return [(heading, sentences) for heading, sentences in found if sentences]


def versions(upgrade: UpgradeResult) -> list[tuple[str, ...]]:
    """A row for each package that is not the same on all sides: its name and its versions."""
    return [
        (change.name, *(version or "absent" for version in change.versions))
        for change in upgrade.packages
    ]


def skipped(bisect: BisectResult) -> list[str]:
    """A line for each version that could not be judged."""
    return [f"{bisect.package} {each.version} skipped: {each.why}" for each in bisect.skipped]
