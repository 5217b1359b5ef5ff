"""Meters of the separate passes: memory, the parts of a step, and its operations.

Each meter costs time, so none of them runs during a timed session.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import dataloader
from torch.utils.flop_counter import FlopCounterMode

from harness.execution.child.clocks import own_clock_s, synchronize
from harness.tracing.wrappers import unwrapped_optimizer

__all__ = ["Allocated", "Flops", "Memory", "Profile", "peak_flops_per_s"]

_PEAK_SIZES = {"cpu": 1024}
_PEAK_SIZE = 8192  # of an accelerator
_PEAK_S = 0.5


class Memory:
    """Peak memory of the process since its start."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def begin(self) -> None:
        """See `Meter.begin`. The peak counts from the start of the process."""

    def read(self, steps: int) -> dict[str, Any]:
        """Peak bytes: resident in the process, and on CUDA reserved by torch."""
        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        found: dict[str, Any] = {"peak_resident_bytes": peak}
        if self._device.type == "cuda":
            found["peak_reserved_bytes"] = torch.cuda.max_memory_reserved(self._device)
        return found


class Allocated:
    """Peak memory that torch allocated for tensors, from before the model was built.

    On a CPU torch's profiler reports each allocation and release. The sum is exact and the same in
    each run of the same code, unlike the resident set. Memory that libraries allocate without
    torch's allocator is not included.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._profile: Any = None
        self._stack = ExitStack()

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count allocations inside this context until `read`."""
        with self._stack:
            if self._device.type == "cpu":
                profiler = profile(activities=[ProfilerActivity.CPU], profile_memory=True)
                self._profile = self._stack.enter_context(profiler)
            yield

    def begin(self) -> None:
        """See `Meter.begin`. The peak counts from before the model was built."""

    def read(self, steps: int) -> dict[str, Any]:
        """Peak bytes; empty if the device's allocator does not report them."""
        if self._device.type == "cuda":
            return {"peak_allocated_bytes": torch.cuda.max_memory_allocated(self._device)}
        if self._profile is None:
            return {}
        self._stack.close()
        events = self._profile.profiler.kineto_results.events()
        changes = sorted(
            (event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]"
        )
        now = peak = 0
        for _, change in changes:
            now += change
            peak = max(peak, now)
        return {"peak_allocated_bytes": peak}


class Profile:
    """Own seconds of each part of a step. It is also a probe for its hooks; parts are synchronized.

    `data`: fetching and collating a batch; `forward`: the call of the model; `backward`: the call
    of `Tensor.backward`; `optimizer`: the update. The rest of a step is the work of the loop and
    its framework: moving the batch, clipping, schedule, zeroing, callbacks.
    """

    PARTS = ("data", "forward", "backward", "optimizer")

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._spent = dict.fromkeys(self.PARTS, 0.0)
        self._since = 0.0

    def watch(
        self, model: nn.Module, *optimizers: torch.optim.Optimizer, rates: Any = None
    ) -> None:
        """Register hooks on the model's call and on the update."""

        def start(*_: Any) -> None:
            synchronize(self._device)
            self._since = own_clock_s()

        def forward_over(*_: Any) -> None:
            if torch.is_grad_enabled():
                self._add("forward", self._since)

        def update_over(*_: Any) -> None:
            self._add("optimizer", self._since)

        model.register_forward_pre_hook(start)
        model.register_forward_hook(forward_over)
        inner = unwrapped_optimizer(optimizers[0])
        inner.register_step_pre_hook(start)
        inner.register_step_post_hook(update_over)

    @contextmanager
    def patched(self) -> Iterator[None]:
        """Time batches and backward passes of this process inside this context."""
        iterator: Any = dataloader._BaseDataLoaderIter
        fetch, backward = iterator.__next__, torch.Tensor.backward

        def timed(part: str, call: Callable[..., Any]) -> Callable[..., Any]:
            def inside(*args: Any, **kwargs: Any) -> Any:
                synchronize(self._device)
                since = own_clock_s()
                try:
                    return call(*args, **kwargs)
                finally:
                    self._add(part, since)

            return inside

        iterator.__next__ = timed("data", fetch)
        torch.Tensor.backward = timed("backward", backward)  # type: ignore[method-assign]
        try:
            yield
        finally:
            iterator.__next__ = fetch
            torch.Tensor.backward = backward  # type: ignore[method-assign]

    def begin(self) -> None:
        """See `Meter.begin`."""
        self._spent = dict.fromkeys(self.PARTS, 0.0)

    def read(self, steps: int) -> dict[str, Any]:
        """Seconds of each part in one step."""
        return {part: spent / steps for part, spent in self._spent.items()}

    def _add(self, part: str, since: float) -> None:
        synchronize(self._device)
        self._spent[part] += own_clock_s() - since

    def logged(self, loss: Any) -> None:
        """See `Probe.logged`. Ignored."""

    def evaluated(self, scores: Any) -> None:
        """See `Probe.evaluated`. Ignored."""

    def remedied(self, what: str) -> None:
        """See `Probe.remedied`. Ignored."""

    def saved(self, checkpoint: Any) -> None:
        """See `Probe.saved`. Ignored."""


class Flops:
    """Floating-point operations of the matrix products of a step, forward and backward.

    While counting, attention runs as plain matrix products, since torch's counter does not cover
    the fused kernel of a CPU.
    """

    def __init__(self) -> None:
        self._counter = FlopCounterMode(display=False)
        self._before = 0

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count operations inside this context."""
        with sdpa_kernel(SDPBackend.MATH), self._counter:
            yield

    def begin(self) -> None:
        """See `Meter.begin`."""
        self._before = self._counter.get_total_flops()

    def read(self, steps: int) -> dict[str, Any]:
        """Operations in one step."""
        return {"flops_per_step": (self._counter.get_total_flops() - self._before) / steps}


def peak_flops_per_s(device: torch.device, dtype: torch.dtype) -> float:
    """The best measured rate of a large square matrix product with the current threads.

    A product of two n x n matrices counts 2 * n**3 operations. On a CPU it is timed by own time, as
    steps are: by wall time, a busy machine would lower the peak below what a step reaches.
    """
    clock_s = own_clock_s if device.type == "cpu" else time.perf_counter
    size = _PEAK_SIZES.get(device.type, _PEAK_SIZE)
    one = torch.randn(size, size, device=device).to(dtype)
    two = torch.randn(size, size, device=device).to(dtype)
    best_s, until = float("inf"), time.perf_counter() + _PEAK_S
    while time.perf_counter() < until or best_s == float("inf"):
        synchronize(device)
        since_s = clock_s()
        torch.mm(one, two)
        synchronize(device)
        best_s = min(best_s, clock_s() - since_s)
    return 2 * size**3 / best_s
