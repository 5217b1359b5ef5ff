"""What an upgrade changed, and where a bisection found it: parts of a report."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

__all__ = ["BisectResult", "PackageChange", "Skipped", "UpgradeResult"]


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")


class PackageChange(_Result):
    """A package that is not the same on all sides."""

    name: str
    versions: tuple[str | None, ...]
    """On each side, in their order; None: it is not there."""


class UpgradeResult(_Result):
    """One case with several sets of libraries, the first of which is the reference."""

    sides: tuple[str, ...]
    """What each is called: the versions by which it is told from the others."""
    packages: tuple[PackageChange, ...]
    packages_same: int
    """How many packages are of one version on all sides."""
    changed: tuple[str, ...]
    """A sentence each."""
    unchanged: tuple[str, ...]
    unknown: tuple[str, ...]
    """What could not be told, and why."""


class Skipped(_Result):
    """A version that could not be judged."""

    version: str
    why: str


class BisectResult(_Result):
    """Which released version of a package is the first that trains otherwise."""

    package: str
    good: str
    bad: str
    outcome: Literal["found", "none", "range", "ends"]
    """Found: one version; none: the two ends are the same; range: those between could not be
    judged; ends: one of the two ends could not."""
    last_same: str | None = None
    """The newest version before the first that differs, which is the same as `good`."""
    first_differing: str | None = None
    further: bool | None = None
    """Whether `bad` differs from `first_differing` again; None: not known."""
    moved_along: tuple[PackageChange, ...] = ()
    """Other packages that are of other versions with `first_differing` than with `last_same`."""
    tested: tuple[str, ...] = ()
    """Versions that were trained with, in their order."""
    skipped: tuple[Skipped, ...] = ()
    released: int = 0
    """Versions from `good` to `bad` that pip would install here."""
    sentence: str = ""
