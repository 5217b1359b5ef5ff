"""The trace probe that also records, at one step, each module of the model and each operation.

If the process is followed line by line (`lines.py`), it also records which statements of the user's
code ran until then, and which lines last set what the step works with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from harness.results.record import Counts, RecordWriter
from harness.tracing import lines
from harness.tracing.forward import ForwardPass
from harness.tracing.listener import Listener
from harness.tracing.module_hooks import ModuleRecorder, visible_modules
from harness.tracing.operations import taken_early
from harness.tracing.options import TraceOptions
from harness.tracing.probe import TraceProbe
from harness.tracing.state import Entry
from harness.tracing.task import Task

__all__ = ["LocalizingProbe"]


class LocalizingProbe(TraceProbe):
    """The trace probe, which also records the traces `modules` and `operations` at one step."""

    def __init__(
        self,
        writer: RecordWriter,
        listener: Listener,
        options: TraceOptions,
        counts: Counts | None = None,
        task: Task | None = None,
        processes: int | None = None,
    ) -> None:
        """As for `TraceProbe`; the step is `options.localize_at`."""
        super().__init__(writer, listener, options, counts, task, processes)
        self._recorders: dict[nn.Module, ModuleRecorder] = {}
        self._state_added = self._statements_added = False
        self._operations = taken_early()
        self._operations.connect(self._add_operation, self._module, self._safely)

    def _add_operation(self, row: dict[str, Any]) -> None:
        self._writer.add("operations", step=self._options.localize_at, rank=0, **row)

    def _module(self) -> str:
        """The name of the module whose forward pass runs; empty outside of every module."""
        return next(filter(None, (each.current for each in self._recorders.values())), "")

    @property
    def _localizes(self) -> bool:
        """Whether the step that is recorded comes next, or runs."""
        return self.counts.steps + 1 == self._options.localize_at

    @property
    def _is_over(self) -> bool:
        """Whether the step that is recorded is complete.

        What changes weights after an update belongs to its step, until the next pass begins.
        """
        at = self._options.localize_at
        return at is not None and self.counts.steps >= at

    def _add_state(self) -> None:
        """Record, once, the state of the models with which the step begins."""
        followed = self._followed()
        if followed is not None and not self._state_added:
            self._state_added = True
            followed.state.add(self._names.models)
            followed.look()
            for one in followed.state.entries(self._names.prefixed_models()):
                self._add_entry(one)
            for one in followed.state.arguments():
                self._add_entry(one)

    def _add_optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        """Record the settings of an optimizer that is about to step."""
        followed = self._followed()
        if followed is not None:
            followed.state.add([optimizer])
            followed.look()
            for one in followed.state.entries_of_optimizer(optimizer, len(self._stepped) + 1):
                self._add_entry(one)

    def _followed(self) -> lines.LineTrace | None:
        """What follows the process, if the step that is recorded comes next, or runs."""
        return lines.following() if self._localizes else None

    def _add_entry(self, one: Entry) -> None:
        place, source = (one.line and lines.statement_at(one.line)) or ("", "")
        row = {"kind": one.kind, "name": one.name, "value": one.value}
        step = self._options.localize_at
        self._writer.add("state", step=step, rank=0, place=place, source=source, **row)

    def _add_statements(self) -> None:
        """Record the statements that have run."""
        followed = lines.following()
        if followed is None or self._statements_added:
            return
        self._statements_added = True
        for one in followed.statements():
            row = {**one._asdict(), "parameters": list(one.parameters)}
            self._writer.add("statements", step=self._options.localize_at, rank=0, **row)

    def _watched(self) -> None:
        super()._watched()
        if self._localizes:
            self._operations.begin()

    def _begin_pass(self, one: ForwardPass) -> None:
        super()._begin_pass(one)
        if one.with_gradient and self._is_over:
            self._operations.end()
            self._add_statements()
        self._operations.phase = "forward"
        if one.with_gradient:
            self._add_state()
        if one.with_gradient and self._localizes:
            recorder = self._recorders.get(one.module)
            if recorder is None:
                compiled = one.module is not one.model and hasattr(one.module, "_orig_mod")
                names = {one.module: ""} if compiled else visible_modules(one.module)
                recorder = ModuleRecorder(names, one.module, self._device)
                self._recorders[one.module] = recorder
            # A forward pass without a backward pass does not count as a micro-batch.
            recorder.begin(self._micro_batches + 1, one.args, one.kwargs)

    def _begin_backward(self, roots: Sequence[Tensor]) -> None:
        super()._begin_backward(roots)
        if self._is_over:
            self._operations.end()
            self._add_statements()
        self._operations.phase = "backward"
        self._add_state()

    def _add_micro_batch(self, passes: Sequence[ForwardPass], loss: Tensor | None) -> None:
        super()._add_micro_batch(passes, loss)
        self._operations.phase = "update"

    def _add_backward(self, number: int, loss: Tensor | None, again: bool) -> None:
        super()._add_backward(number, loss, again)
        self._operations.phase = "update"

    def _begin_step(self, optimizer: torch.optim.Optimizer) -> None:
        super()._begin_step(optimizer)
        self._operations.phase = "update"
        self._add_optimizer(optimizer)

    def _record_update(self, step: int) -> None:
        if step == self._options.localize_at:
            for recorder in self._recorders.values():
                for row in recorder.rows():
                    if row["micro_batch"] <= self._micro_batches:
                        self._writer.add("modules", step=step, **row)
                recorder.remove()
        super()._record_update(step)
        followed = lines.following()
        if followed is not None:
            followed.state.steps = step
        self._operations.phase = "before" if self._localizes else "after"
        if self._localizes:
            self._operations.begin()

    def _detach(self) -> None:
        if self._is_over:
            self._safely(self._add_statements)
        self._remove_recorders()
        super()._detach()

    def _abandon(self) -> None:
        self._remove_recorders()
        super()._abandon()

    def _remove_recorders(self) -> None:
        self._operations.end()
        for recorder in self._recorders.values():
            recorder.remove()
