"""`with harness.trace(folder): ...` and `harness.watch`: a record of what trains in some code.

Nothing in the block is changed, and nothing is left behind after it: no hook, no patched function.
torch is imported when the block begins, not before.
"""

from __future__ import annotations

import os
import shutil
import sys
import warnings
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from harness.api.load import Record, load
from harness.errors import SpecError, check_known
from harness.execution.commit import find_commit
from harness.results.folders import new_in_reports
from harness.results.record import HEADER
from harness.spec.case import slug
from harness.spec.command import CommandSpec
from harness.spec.recipe import DETAILS, Detail, build

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from harness.tracing.attach.block import Block

__all__ = ["Scores", "Tracing", "trace", "watch"]

_USE = "write `with harness.trace(folder) as tracing:`"
_active: list[Tracing] = []


def trace(
    folder: str | os.PathLike[str] | None = None,
    *,
    name: str | None = None,
    detail: Detail = "full",
    every: int = 1,
    replace: bool = False,
) -> Tracing:
    """A context that records what trains inside it, in a script, a notebook or a test.

    Optimizers and the modules that they update are found, also those that were made before the
    block. Everything that the block trains is one record, which is written at its end, also if it
    raises. `folder`: a new or empty folder; None: one in `reports/`. `replace`: replace the record
    in it. `name`: of the run in reports; None: that of the folder. `detail`: `steps`, `weights` or
    `full`. `every`: record gradients, weights and optimizer state only at step 1 and at each
    multiple of it.

    Raises `SpecError` before the block begins if an argument does not fit or if another trace is
    open.
    """
    check_known("detail", detail, DETAILS)
    target = Path(folder) if folder is not None else new_in_reports(name or "trace")
    given = name if name is not None else slug(target.absolute().name).lstrip("._-") or "trace"
    fields = {"name": given, "folder": str(Path.cwd()), "source": "python"}
    spec = build(CommandSpec, {**fields, "detail": detail, "every": every})
    return Tracing(target, spec, replace)


def watch(model: nn.Module, *optimizers: Optimizer) -> None:
    """Record this model and its optimizers in the open trace, whether or not they are found.

    Call it after they are made and before the first step. Raises `SpecError` outside of a trace.
    """
    if not _active:
        raise SpecError("harness.watch is called inside a trace", "no open trace", _USE)
    _active[-1].watch(model, *optimizers)


class Tracing:
    """The trace of a block: inside it, what is recorded; after it, the record."""

    def __init__(self, folder: Path, spec: CommandSpec, replace: bool = False) -> None:
        self.folder = folder
        """The folder of the record."""
        self._spec, self._replace = spec, replace
        self._block: Block | None = None
        self._ended = self._gives_way = False

    @property
    def is_open(self) -> bool:
        """Whether it records now."""
        return self._block is not None

    @property
    def record(self) -> Record:
        """The record, after the block. Raises `SpecError` before its end."""
        if not self._ended:
            rule = "a trace has its record after the block"
            raise SpecError(rule, "an open block" if self._block else "no block yet", _USE)
        return load(self.folder)

    def watch(self, model: nn.Module, *optimizers: Optimizer) -> None:
        """As `harness.watch`, for this trace."""
        if any(optimizer is None for optimizer in optimizers):
            raise SpecError(
                "an optimizer that is watched exists",
                "None",
                "call watch after it is made; with a Trainer use harness.TrainerCallback",
            )
        self._inside("watch").watch(model, *optimizers)

    def logged(self, loss: float | Tensor) -> None:
        """Record the loss that the code reports to its user after an update."""
        self._inside("logged").recording.probe.logged(loss)

    def evaluated(self, metrics: Mapping[str, float], rows: int) -> None:
        """Record an evaluation on so many rows; `loss` among the metrics may be missing."""
        values = {name: float(value) for name, value in metrics.items()}
        self._inside("evaluated").recording.probe.evaluated(Scores(rows, values))

    def begin(self, gives_way: bool = False) -> None:
        """Begin to record, as `with` does.

        `gives_way`: the next trace may end this one, as failed: the training of a callback may have
        failed without notice.
        """
        if self._ended or self._block is not None:
            raise SpecError("a trace records one block", "a second block", "make another trace")
        if _active and _active[-1]._gives_way:
            _active[-1].end(SpecError("the training ended without notice, perhaps by an error"))
        if _active:
            raise SpecError(
                "one trace is open at a time",
                f"an open trace into {_active[-1].folder}",
                "end it first",
            )
        _check_alone()
        _make_ready(self.folder, self._replace)
        from harness.execution.child.metadata import describe
        from harness.tracing.attach.block import Block

        described = partial(describe, commit=_commit())
        self._block = Block(self.folder, self._spec, described)
        self._gives_way = gives_way
        _active.append(self)
        self._block.begin()

    def end(self, error: BaseException | None = None) -> None:
        """Remove the hooks and write the record; `error` is what ended the training."""
        block, self._block = self._block, None
        if block is None:
            return
        if self in _active:
            _active.remove(self)
        good = error is None or (isinstance(error, SystemExit) and not error.code)
        status: Literal["completed", "interrupted", "failed"] = "completed" if good else "failed"
        if isinstance(error, KeyboardInterrupt):
            status = "interrupted"
        try:
            block.end(status, None if good else error)
        except Exception as fault:  # noqa: BLE001  # the harness's own, as on a full disk
            why = f"{type(fault).__name__}: {fault}"
            text = f"harness.trace could not write the record in {self.folder}: {why}"
            warnings.warn(text, RuntimeWarning, stacklevel=3)
        self._ended = True

    def __enter__(self) -> Tracing:
        self.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        place: TracebackType | None,
    ) -> None:
        self.end(error)

    def __repr__(self) -> str:
        """The folder, and whether the block is over."""
        state = "ended" if self._ended else "open" if self._block is not None else "not begun"
        return f"<Tracing into {self.folder}, {state}>"

    def _inside(self, what: str) -> Block:
        if self._block is None:
            raise SpecError(f"{what} is called inside the block", repr(self), _USE)
        return self._block


class Scores(NamedTuple):
    """The result of an evaluation, as a probe takes it; no classes are known."""

    rows: int
    metrics: dict[str, float]
    predicted: frozenset[int] = frozenset()


@cache
def _commit() -> str:
    """The commit of the harness; git is asked once in a process."""
    return find_commit() or ""


def _make_ready(folder: Path, replace: bool) -> None:
    """Raise `SpecError` if the folder is in use; with `replace`, remove the record in it."""
    rule = "harness.trace takes a new or empty folder"
    if folder.exists() and not folder.is_dir():
        raise SpecError(rule, f"the file {folder}", "name another")
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / HEADER).is_file():
            raise SpecError(rule, folder, "name another, or empty it")
        if not replace:
            remedy = "name another, or pass replace=True to replace its record"
            raise SpecError(rule, f"{folder}, which holds a record", remedy)
        shutil.rmtree(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpecError(rule, error, "name one that can be made") from None


def _check_alone() -> None:
    """Raise `SpecError` if this process trains with others, whose part would be missing."""
    size = os.environ.get("WORLD_SIZE", "1")
    torch: Any = sys.modules.get("torch")
    distributed = getattr(torch, "distributed", None)
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        size = str(distributed.get_world_size())
    if size.isdigit() and int(size) > 1:
        raise SpecError(
            "harness.trace records one process",
            f"one of {size} that train together",
            "trace the whole command: harness trace -- torchrun ...",
        )
