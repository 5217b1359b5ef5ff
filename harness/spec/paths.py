"""Checks the places and row counts that a case names, before any process is started for it."""

from __future__ import annotations

from pathlib import Path

from harness.errors import SpecError
from harness.spec.case import Case

__all__ = ["check_places"]

_LOCAL = ("/", "./", "../", "~")
"""How a path begins that cannot be the name of a model in a hub."""


def check_places(case: Case) -> None:
    """Raise `SpecError` for data, a model or a number of rows that a built-in workload refuses."""
    if case.workload.endswith(".py"):
        return  # its options have meanings of their own
    data, model = case.options.get("data"), case.options.get("model")
    if isinstance(data, str) and not Path(data).is_dir():
        raise SpecError("data must be an existing folder", data, "check the path")
    if isinstance(model, str) and model.startswith(_LOCAL) and not Path(model).is_dir():
        raise SpecError("model must be an existing folder or a hub id", model, "check the path")
    for name in ("train_rows", "eval_rows"):
        count = case.options.get(name)
        if isinstance(count, (int, float)) and count < 0:
            raise SpecError(f"{name} is a number of rows, or 0 for all rows", count, "raise it")
