"""The sets of libraries that are compared, and what differs between them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from harness.execution.environments.interpreter import Libraries, ask, differing, names_of
from harness.execution.environments.requirements import parse
from harness.execution.environments.venv import environment_with
from harness.results.upgrade import PackageChange
from harness.spec.request import RunRequest

__all__ = ["LibrarySet", "find_library_sets", "interpreters", "package_changes", "packages_same"]


@dataclass(frozen=True)
class LibrarySet:
    """One set of libraries."""

    name: str
    """The versions that distinguish it from the others."""
    libraries: Libraries


def find_library_sets(
    request: RunRequest, show_progress: Callable[[str], None]
) -> list[LibrarySet]:
    """The sets of libraries that a request names; with a single one, this environment comes first.

    Makes the environments that are missing, after all requirements were parsed, and reports to
    `show_progress`. Raises `SpecError`.
    """
    paths = request.interpreters
    sets = [parse(text, request.direct_references) for text in request.requirements]
    here = [ask(None)] if len(paths) + len(sets) == 1 else []
    found = [*here, *(ask(path) for path in paths)]
    found += [environment_with(wanted, request.environments, show_progress) for wanted in sets]
    return [LibrarySet(*pair) for pair in zip(names_of(found), found, strict=True)]


def interpreters(library_sets: Iterable[LibrarySet]) -> dict[str, str | None]:
    """The interpreter of each set, by the name of the set; None: this one."""
    return {each.name: each.libraries.python for each in library_sets}


def package_changes(library_sets: Sequence[LibrarySet]) -> tuple[PackageChange, ...]:
    """The packages whose versions differ between the sets."""
    found = differing([each.libraries for each in library_sets])
    return tuple(PackageChange(name=name, versions=row) for name, row in found.items())


def packages_same(library_sets: Sequence[LibrarySet]) -> int:
    """How many packages have the same version in all sets."""
    names = {name for each in library_sets for name in each.libraries.versions}
    return len(names - differing([each.libraries for each in library_sets]).keys())
