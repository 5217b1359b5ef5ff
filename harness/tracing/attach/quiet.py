"""Imports libraries of the harness in a program, without an effect on the program's warnings."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["quiet_imports"]

_REGISTRY = "__warningregistry__"


@contextmanager
def quiet_imports() -> Iterator[None]:
    """Show no warning, and leave it known which ones the program has shown.

    A library that adds a filter of warnings makes Python forget that; so does `catch_warnings`.
    """
    quiet: Any = ("ignore", None, Warning, None, 0)
    warnings.filters.insert(0, quiet)  # type: ignore[attr-defined]  # a list
    before = _version()
    try:
        yield
    finally:
        after = _version()
        warnings.filters.remove(quiet)  # type: ignore[attr-defined]
        if after != before:
            for module in list(sys.modules.values()):
                registry = getattr(module, "__dict__", {}).get(_REGISTRY)
                if isinstance(registry, dict) and registry.get("version") == before:
                    registry["version"] = after


def _version() -> Any:
    """The number that Python changes when it forgets which warnings it has shown."""
    registry: dict[Any, Any] = {}
    warnings.warn_explicit("", UserWarning, "", 1, registry=registry)  # is not shown
    return registry.get("version")
