"""The sets of libraries that are compared with each other, and a case with each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

from harness.errors import SpecError
from harness.execution.environments.interpreter import Libraries, ask, differing, names_of, slug
from harness.execution.environments.requirements import parse
from harness.execution.environments.venv import environment_with
from harness.results.upgrade import PackageChange
from harness.spec.case import Case

__all__ = ["Side", "one_case_a_side", "package_changes", "packages_same", "pythons", "sides_of"]


@dataclass(frozen=True)
class Side:
    """One set of libraries."""

    name: str
    """The versions that distinguish it from the others."""
    libraries: Libraries


def sides_of(
    interpreters: Sequence[str],
    asked: Sequence[str],
    direct: bool,
    cache: Path | None,
    say: Callable[[str], None],
) -> list[Side]:
    """One set for each interpreter, or for an environment with each set of requirements.

    A single set is compared with the libraries of this process. `direct`, `cache`: as in `parse`
    and `environment_with`. All values are read before the first environment is made. Raises
    `SpecError`.
    """
    if interpreters and asked:
        raise SpecError(
            "libraries are named by interpreters or by requirements",
            "--python and --with",
            "leave one of them out",
        )
    if not interpreters and not asked:
        raise SpecError(
            "an upgrade compares two sets of libraries",
            "neither --python nor --with",
            "write for example --with transformers==4.57.*",
        )
    sets: list[tuple[Requirement, ...]] = [parse(text, direct) for text in asked]
    here = [ask(None)] if len(interpreters) + len(asked) == 1 else []
    found = [*here, *(ask(python) for python in interpreters)]
    found += [environment_with(requirements, cache, say) for requirements in sets]
    return [Side(*pair) for pair in zip(names_of(found), found, strict=True)]


def one_case_a_side(case: Case, sides: Iterable[Side]) -> list[Case]:
    """One copy of `case` for each set of libraries."""
    return [
        case.model_copy(
            update={
                "name": f"{case.name}-{slug(side.name)}",
                "libraries_of": case.name,
                "libraries": side.name,
            }
        )
        for side in sides
    ]


def pythons(sides: Iterable[Side]) -> dict[str, str | None]:
    """The interpreter of each set, by the set's name."""
    return {side.name: side.libraries.python for side in sides}


def package_changes(sides: Sequence[Side]) -> tuple[PackageChange, ...]:
    """The packages whose versions differ between the sets."""
    found = differing([side.libraries for side in sides])
    return tuple(PackageChange(name=name, versions=row) for name, row in found.items())


def packages_same(sides: Sequence[Side]) -> int:
    """The number of packages that have the same version in all sets."""
    names = {name for side in sides for name in side.libraries.versions}
    return len(names - differing([side.libraries for side in sides]).keys())
