"""The trace probe that also records, at one step, each module of the model."""

from __future__ import annotations

from torch import nn

from harness.results.record import Counts, RecordWriter
from harness.tracing.forward import ForwardPass
from harness.tracing.listener import Listener
from harness.tracing.module_hooks import ModuleRecorder, visible_modules
from harness.tracing.options import TraceOptions
from harness.tracing.probe import TraceProbe
from harness.tracing.task import Task

__all__ = ["ModuleProbe"]


class ModuleProbe(TraceProbe):
    """The trace probe, which also records the trace `modules` at one step."""

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

    def _begin_pass(self, one: ForwardPass) -> None:
        super()._begin_pass(one)
        if one.with_gradient and self.counts.steps + 1 == self._options.localize_at:
            recorder = self._recorders.get(one.module)
            if recorder is None:
                compiled = one.module is not one.model and hasattr(one.module, "_orig_mod")
                names = {one.module: ""} if compiled else visible_modules(one.module)
                recorder = ModuleRecorder(names, one.module, self._device)
                self._recorders[one.module] = recorder
            # A forward pass without a backward pass does not count as a micro-batch.
            recorder.begin(self._micro_batches + 1, one.args, one.kwargs)

    def _record_update(self, step: int) -> None:
        if step == self._options.localize_at:
            for recorder in self._recorders.values():
                for row in recorder.rows():
                    if row["micro_batch"] <= self._micro_batches:
                        self._writer.add("modules", step=step, **row)
                recorder.remove()
        super()._record_update(step)

    def _detach(self) -> None:
        self._remove_recorders()
        super()._detach()

    def _abandon(self) -> None:
        self._remove_recorders()
        super()._abandon()

    def _remove_recorders(self) -> None:
        for recorder in self._recorders.values():
            recorder.remove()
