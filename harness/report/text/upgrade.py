"""An upgrade and a bisection, in sentences."""

from __future__ import annotations

from harness.results.upgrade import BisectResult, UpgradeResult

__all__ = ["bisection_lines", "first_lines", "lists"]

_FEW = 3
"""Changes that stand first; more are counted."""


def first_lines(upgrade: UpgradeResult) -> list[str]:
    """What changed, or that nothing did; what could not be compared; which versions differ."""
    reference, *others = upgrade.sides
    span = f"from {reference} to {'; '.join(others)}"
    lines = [f"{span}: {line}" for line in upgrade.changed[:_FEW]]
    if len(upgrade.changed) > _FEW:
        lines.append(f"{len(upgrade.changed) - _FEW} more changes are listed below")
    if not upgrade.changed and upgrade.unchanged:
        lines = [f"{span}: nothing changed, in {len(upgrade.unchanged)} compared properties"]
    elif not upgrade.changed:
        lines = [f"{span}: nothing could be compared"]
    if upgrade.unknown:
        lines.append(f"not compared: {len(upgrade.unknown)} properties, listed below")
    lines.append(
        f"packages with different versions: {len(upgrade.packages)}; with the same version: "
        f"{upgrade.packages_same}; Python is counted as a package"
    )
    return lines


def lists(upgrade: UpgradeResult) -> list[tuple[str, tuple[str, ...]]]:
    """Headings with their sentences; an empty list has no heading."""
    found = (
        ("What changed", upgrade.changed),
        ("What did not change", upgrade.unchanged),
        ("What could not be compared", upgrade.unknown),
    )
    return [(heading, sentences) for heading, sentences in found if sentences]


def bisection_lines(bisect: BisectResult) -> list[str]:
    """The versions that were trained with, then each version that was skipped."""
    tested = (
        f"trained with {', '.join(bisect.tested)}: {len(bisect.tested)} of {bisect.released} "
        f"released versions from {bisect.good} to {bisect.bad}"
    )
    skipped = [f"{bisect.package} {each.version} skipped: {each.why}" for each in bisect.skipped]
    return [tested, *skipped]
