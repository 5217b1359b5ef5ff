"""Results of `harness upgrade` and `harness bisect`."""

from __future__ import annotations

from typing import Literal

from harness.results.base import Result

__all__ = ["BisectResult", "PackageChange", "Skipped", "UpgradeResult"]


class PackageChange(Result):
    """A package whose version is not the same in all environments."""

    name: str
    """Name of the package."""
    versions: tuple[str | None, ...]
    """The version in each environment, in their order; None if it is not installed."""


class UpgradeResult(Result):
    """One case in several environments; the first one is the reference."""

    sides: tuple[str, ...]
    """Names of the environments: the versions that distinguish them."""
    packages: tuple[PackageChange, ...]
    """Packages whose versions differ."""
    packages_same: int
    """Number of packages with the same version in all environments."""
    changed: tuple[str, ...]
    """One sentence per change."""
    unchanged: tuple[str, ...]
    """One sentence per aspect without a change."""
    unknown: tuple[str, ...]
    """One sentence per aspect without an outcome, with the reason."""


class Skipped(Result):
    """A version without an outcome."""

    version: str
    """The version."""
    why: str
    """The reason, in one sentence."""


class BisectResult(Result):
    """The first released version of a package whose training differs."""

    package: str
    """Name of the package."""
    good: str
    """The first version, which is the reference."""
    bad: str
    """The last version, which is expected to differ."""
    outcome: Literal["found", "none", "range", "ends"]
    """`found`: one version. `none`: `good` and `bad` train the same. `range`: the versions between
    have no outcome. `ends`: `good` or `bad` has no outcome."""
    last_same: str | None = None
    """The newest version before `first_differing` that trains as `good` does."""
    first_differing: str | None = None
    """The first version that trains differently."""
    further: bool | None = None
    """Whether `bad` also differs from `first_differing`; None if not known."""
    moved_along: tuple[PackageChange, ...] = ()
    """Other packages whose versions differ between `last_same` and `first_differing`."""
    tested: tuple[str, ...] = ()
    """Versions that were tested, in their order."""
    skipped: tuple[Skipped, ...] = ()
    """Versions without an outcome."""
    released: int = 0
    """Number of versions from `good` to `bad` that can be installed here."""
    sentence: str = ""
    """The result in one sentence."""
