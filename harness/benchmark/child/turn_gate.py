"""The turn gate: a probe that lets a loop take a number of steps and then wait.

Since it is a probe, any loop can be timed unchanged. It acts in the optimizer's hook after each
update. Between two turns the loop waits there on the parent's pipe and uses no CPU time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from harness.tracing.listener import StopTraining
from harness.tracing.wrappers import unwrapped_optimizer
from harness.training.evaluation import Scores
from harness.training.probe import Probe

__all__ = ["CombinedProbe", "Meter", "TurnGate", "own_clock_s", "synchronize"]

_SCHEDSTAT = Path("/proc/thread-self/schedstat")


class Meter(Protocol):
    """A quantity that is measured over the steps of a turn."""

    def begin(self) -> None:
        """Begin the measurement."""

    def read(self, steps: int) -> dict[str, Any]:
        """The result over `steps` steps, as JSON values."""


def own_clock_s() -> float:
    """Own time: wall seconds without those in which this thread waited for a busy core."""
    wall_s, _, delay_s = _clocks_s()
    return wall_s - (delay_s or 0.0)


class Edge:
    """The readings of all clocks between two steps."""

    def __init__(self, device: torch.device) -> None:
        synchronize(device)
        self.wall_s, self.cpu_s, self.delay_s = _clocks_s()
        self.energy_j = _energy_j(device)


class TurnGate:
    """A probe that takes turns.

    It sends its parent `ready` when the loop is about to begin, and after each turn the times of
    all its steps but the first, which includes waking up.
    """

    def __init__(
        self,
        connection: Connection,
        device: torch.device,
        meter: Meter | None = None,
        yardstick: Callable[[], float] | None = None,
    ) -> None:
        """`yardstick`: does a fixed piece of work at the start of a turn, returns own seconds."""
        self._connection, self._device, self._meter = connection, device, meter
        self._yardstick = yardstick
        self._yardstick_s: float | None = None
        self._handles: list[Any] = []
        self._granted = self._made = 0

    def watch(
        self,
        model: nn.Module,
        *optimizers: torch.optim.Optimizer,
        rates: Sequence[float] | None = None,
    ) -> None:
        """See `Probe.watch`. Returns once the first turn is granted."""
        self._handles = [
            model.register_forward_pre_hook(self._before_forward, with_kwargs=True),
            unwrapped_optimizer(optimizers[0]).register_step_post_hook(self._after_step),
        ]
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        self._send(event="ready", parameters=trained)
        self._wait()

    def logged(self, loss: float | Tensor) -> None:
        """See `Probe.logged`. Ignored."""

    def evaluated(self, scores: Scores) -> None:
        """See `Probe.evaluated`. Ignored."""

    def remedied(self, what: str) -> None:
        """See `Probe.remedied`. Ignored; the traced run of this arm records it."""

    def saved(self, checkpoint: Path) -> None:
        """See `Probe.saved`. Ignored."""

    def _wait(self) -> None:
        """Wait for the next turn. Raises `StopTraining` if there is none."""
        steps = json.loads(self._connection.recv_bytes())["steps"]
        if not steps:
            for handle in self._handles:
                handle.remove()
            raise StopTraining
        self._granted, self._made = steps, 0
        if self._yardstick:
            self._yardstick_s = self._yardstick()
        self._woken = time.perf_counter()

    def _before_forward(self, module: nn.Module, args: Any, kwargs: Mapping[str, Any]) -> None:
        if not torch.is_grad_enabled():
            return
        ids, mask = kwargs.get("input_ids"), kwargs.get("attention_mask")
        batch = next(value for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
        self._samples += len(batch)
        if ids is not None:
            self._padded_tokens += ids.numel()
            self._tokens = self._tokens + (ids.numel() if mask is None else mask.sum())

    def _after_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        self._made += 1
        if self._made == 1:
            self._begin = Edge(self._device)
            self._samples, self._padded_tokens = 0, 0
            self._tokens: int | Tensor = 0
            if self._meter:
                self._meter.begin()
        if self._made == self._granted:
            self._report(Edge(self._device))
            self._wait()

    # Counted from the second step of a turn on; the counts of the first step are dropped.
    _samples = _padded_tokens = 0
    _tokens: int | Tensor = 0

    def _report(self, end: Edge) -> None:
        begin, steps = self._begin, self._granted - 1
        self._send(
            event="turn",
            steps=steps,
            wall_s=end.wall_s - begin.wall_s,
            cpu_s=end.cpu_s - begin.cpu_s,
            delay_s=_difference(begin.delay_s, end.delay_s),
            energy_j=_difference(begin.energy_j, end.energy_j),
            restart_s=begin.wall_s - self._woken,
            yardstick_s=self._yardstick_s,
            samples=self._samples,
            tokens=int(self._tokens),
            padded_tokens=self._padded_tokens,
            meter=self._meter.read(steps) if self._meter and steps else {},
        )

    def _send(self, **facts: Any) -> None:
        self._connection.send_bytes(json.dumps(facts).encode())


class CombinedProbe:
    """Several probes as one. Each receives every call, in order; a turn gate comes last."""

    def __init__(self, probes: Sequence[Probe]) -> None:
        self._probes = probes

    def watch(
        self,
        model: nn.Module,
        *optimizers: torch.optim.Optimizer,
        rates: Sequence[float] | None = None,
    ) -> None:
        """See `Probe.watch`."""
        for probe in self._probes:
            probe.watch(model, *optimizers, rates=rates)

    def logged(self, loss: float | Tensor) -> None:
        """See `Probe.logged`."""
        for probe in self._probes:
            probe.logged(loss)

    def evaluated(self, scores: Scores) -> None:
        """See `Probe.evaluated`."""
        for probe in self._probes:
            probe.evaluated(scores)

    def remedied(self, what: str) -> None:
        """See `Probe.remedied`."""
        for probe in self._probes:
            probe.remedied(what)

    def saved(self, checkpoint: Path) -> None:
        """See `Probe.saved`."""
        for probe in self._probes:
            probe.saved(checkpoint)


def synchronize(device: torch.device) -> None:
    """Wait until a device has finished its queued work; a CPU always has."""
    if device.type in ("cuda", "xpu", "mps"):
        getattr(torch, device.type).synchronize()


def _clocks_s() -> tuple[float, float, float | None]:
    """Wall time, CPU time and run delay of one moment; no run delay occurs between the readings."""
    delay_s = _run_delay_s()
    while True:
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        before, delay_s = delay_s, _run_delay_s()
        if delay_s == before:
            return wall_s, cpu_s, delay_s


def _run_delay_s() -> float | None:
    """Seconds in which this thread was ready to run and the machine ran another one.

    The second number of schedstat: https://docs.kernel.org/scheduler/sched-stats.html
    """
    try:
        return int(_SCHEDSTAT.read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return None


def _energy_j(device: torch.device) -> float | None:
    """Joules that the device has used since its driver started, if NVML is installed."""
    if device.type != "cuda":
        return None
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(_uuid(device))
        return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1000
    except pynvml.NVMLError:
        return None


def _uuid(device: torch.device) -> bytes:
    # CUDA and NVML may number devices differently.
    return f"GPU-{torch.cuda.get_device_properties(device).uuid}".encode()


def _difference(begin: float | None, end: float | None) -> float | None:
    return None if begin is None or end is None else end - begin
