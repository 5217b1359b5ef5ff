"""A task in a file of the user's: imported, called with its options, and made a workload."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from harness.errors import HarnessError, SpecError
from harness.execution.child.user_code import import_file, reason
from harness.spec.case import Case
from harness.spec.registry import ROW_LIMITS
from harness.training.task import first_rows, workload_of
from harness.training.workload import Workload

__all__ = ["build_task", "task_errors"]


def build_task(case: Case, device: torch.device, output_dir: Path) -> Workload:
    """The workload of the task that a case names. Raises `SpecError`."""
    path = Path(case.workload)
    module = import_file(path, "task")
    function = getattr(module, "task", None)
    if not callable(function):
        raise SpecError("a task has a function task()", case.workload, "add it")
    taken = inspect.signature(function).parameters
    limits = {name: case.options.get(name, 0) for name in ROW_LIMITS if name not in taken}
    options = {name: value for name, value in case.options.items() if name not in limits}
    with task_errors(case):
        workload = workload_of(function(**options), path.stem, device, output_dir)
    return replace(
        workload,
        train_set=first_rows(workload.train_set, "train_rows", limits.get("train_rows", 0)),
        eval_set=first_rows(workload.eval_set, "eval_rows", limits.get("eval_rows", 0)),
    )


@contextmanager
def task_errors(case: Case) -> Iterator[None]:
    """Raise an error in the code of a user's task as one line, with its place in that code."""
    try:
        yield
    except HarnessError:
        raise
    except Exception as error:
        if not case.workload.endswith(".py"):
            raise
        traceback.print_exc(file=sys.stderr)  # the log
        raise SpecError(
            "a task must build its model and its data, and pass one batch, without an error",
            reason(error, Path(case.workload)),
            "correct it",
        ) from error
