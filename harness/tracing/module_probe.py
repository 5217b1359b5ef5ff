"""The trace probe that also records, at one step, each module of the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from harness.results.record import Counts, RecordWriter
from harness.spec.case import RunSpec
from harness.tracing.hooks import Listener
from harness.tracing.module_hooks import ModuleRecorder, visible_modules
from harness.tracing.probe import TraceProbe
from harness.training.workload import Workload

__all__ = ["ModuleProbe"]


class ModuleProbe(TraceProbe):
    """The trace probe, which also records the trace `modules` at one step."""

    def __init__(
        self,
        writer: RecordWriter,
        listener: Listener,
        workload: Workload,
        spec: RunSpec,
        steps_expected: int,
        counts: Counts | None = None,
    ) -> None:
        """As for `TraceProbe`; the step is `spec.localize_at`."""
        super().__init__(writer, listener, workload, spec, steps_expected, counts)
        self._localize_at = spec.localize_at
        self._recorder: ModuleRecorder | None = None

    def _attach(
        self, model: nn.Module, called: nn.Module, optimizer: torch.optim.Optimizer
    ) -> None:
        super()._attach(model, called, optimizer)
        names = visible_modules(model) if called is model else {called: ""}
        self._recorder = ModuleRecorder(names, called, self._workload.device)
        self._handles.append(self._recorder)

    def _before_forward(self, module: nn.Module, args: Any, kwargs: Mapping[str, Any]) -> None:
        super()._before_forward(module, args, kwargs)
        if torch.is_grad_enabled() and self.counts.steps + 1 == self._localize_at:
            assert self._recorder is not None  # since this is a hook
            # A forward pass without a backward pass does not count as a micro-batch.
            self._recorder.begin(len(self._micro_batches) + 1, args, kwargs)

    def _after_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        step = self.counts.steps + 1
        if step == self._localize_at:
            assert self._recorder is not None  # as above
            for row in self._recorder.rows():
                if row["micro_batch"] <= len(self._micro_batches):
                    self._writer.add("modules", step=step, **row)
            self._recorder.remove()
        super()._after_step(optimizer, args, kwargs)
