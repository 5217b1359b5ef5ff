"""What is said of an upgrade and of a bisection: sentences, and the rows of the tables."""

from __future__ import annotations

from harness.results.upgrade import BisectResult, UpgradeResult

__all__ = ["first_lines", "lists", "skipped"]

_FEW = 3  # changes that are told first


def first_lines(upgrade: UpgradeResult) -> list[str]:
    """What changed, or that nothing did; how much stands behind it; which versions differ."""
    reference, *others = upgrade.sides
    span = f"from {reference} to {'; '.join(others)}"
    lines = [f"{span}: {line}" for line in upgrade.changed[:_FEW]]
    if len(upgrade.changed) > _FEW:
        lines.append(f"{len(upgrade.changed) - _FEW} more changes are listed below")
    if not upgrade.changed:
        found = f"nothing changed in the {len(upgrade.unchanged)} things that could be told"
        lines = [f"{span}: {found}" if upgrade.unchanged else f"{span}: nothing could be told"]
    if upgrade.unknown:
        lines.append(f"{len(upgrade.unknown)} things could not be told; they are listed below")
    lines.append(
        f"{len(upgrade.packages)} packages are of other versions, {upgrade.packages_same} of the "
        "same, Python itself counted"
    )
    return lines


def lists(upgrade: UpgradeResult) -> list[tuple[str, tuple[str, ...]]]:
    """The sentences under their headings; no heading without any."""
    found = (
        ("What changed", upgrade.changed),
        ("What did not", upgrade.unchanged),
        ("What could not be told", upgrade.unknown),
    )
    return [(heading, sentences) for heading, sentences in found if sentences]


def skipped(bisect: BisectResult) -> list[str]:
    """A line for each version that could not be judged."""
    return [f"{bisect.package} {each.version} skipped: {each.why}" for each in bisect.skipped]
