"""The turn gate: lets a loop take so many steps and then wait, without the loop knowing of it.

It is a probe, so that any loop can be timed unchanged: it stands in the optimizer's hook after each
update. Between two grants the loop sleeps there on the parent's pipe and takes no CPU time.
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

from harness.tracing.hooks import Enough, unwrapped_optimizer
from harness.training.evaluation import Scores
from harness.training.probe import Probe

__all__ = ["CombinedProbe", "Meter", "TurnGate", "own_clock_s", "synchronize"]

_SCHEDSTAT = Path("/proc/thread-self/schedstat")


class Meter(Protocol):
    """Something else that is read over the steps of a turn."""

    def begin(self) -> None:
        """The steps that count begin now."""

    def read(self, steps: int) -> dict[str, Any]:
        """What it found over so many steps, as JSON values."""


def own_clock_s() -> float:
    """Seconds that pass but while this thread is ready and the machine runs somebody else."""
    wall_s, _, delay_s = _clocks_s()
    return wall_s - (delay_s or 0.0)


class Edge:
    """Readings of all clocks at one moment between two steps."""

    def __init__(self, device: torch.device) -> None:
        synchronize(device)
        self.wall_s, self.cpu_s, self.delay_s = _clocks_s()
        self.energy_j = _energy_j(device)


class TurnGate:
    """A probe that takes turns.

    It tells its parent `ready` when the loop is about to begin, and after each turn the time of all
    its steps but the first, which pays for having been asleep.
    """

    def __init__(
        self,
        connection: Connection,
        device: torch.device,
        meter: Meter | None = None,
        yardstick: Callable[[], float] | None = None,
    ) -> None:
        """`yardstick`: own seconds of a fixed piece of work, done when a turn begins."""
        self._connection, self._device, self._meter = connection, device, meter
        self._yardstick = yardstick
        self._yardstick_s: float | None = None
        self._handles: list[Any] = []
        self._granted = self._made = 0

    def watch(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        rates: Sequence[float] | None = None,
    ) -> None:
        """See `Probe.watch`. Returns once the first turn is granted."""
        self._handles = [
            model.register_forward_pre_hook(self._before_forward, with_kwargs=True),
            unwrapped_optimizer(optimizer).register_step_post_hook(self._after_step),
        ]
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        self._tell(event="ready", parameters=trained)
        self._wait()

    def logged(self, loss: float | Tensor) -> None:
        """See `Probe.logged`. Ignored."""

    def evaluated(self, scores: Scores) -> None:
        """See `Probe.evaluated`. Ignored."""

    def remedied(self, what: str) -> None:
        """See `Probe.remedied`. Ignored; the traced run of this arm tells of it."""

    def saved(self, checkpoint: Path) -> None:
        """See `Probe.saved`. Ignored."""

    def _wait(self) -> None:
        """Sleep until the next turn. Raises `Enough` where there is none."""
        steps = json.loads(self._connection.recv_bytes())["steps"]
        if not steps:
            for handle in self._handles:
                handle.remove()
            raise Enough
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

    # Counted from the turn's second step on; what the very first step adds is dropped.
    _samples = _padded_tokens = 0
    _tokens: int | Tensor = 0

    def _report(self, end: Edge) -> None:
        begin, steps = self._begin, self._granted - 1
        self._tell(
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

    def _tell(self, **facts: Any) -> None:
        self._connection.send_bytes(json.dumps(facts).encode())


class CombinedProbe:
    """Several probes as one. Each hears of everything, in order; a gate comes last."""

    def __init__(self, probes: Sequence[Probe]) -> None:
        self._probes = probes

    def watch(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        rates: Sequence[float] | None = None,
    ) -> None:
        """See `Probe.watch`."""
        for probe in self._probes:
            probe.watch(model, optimizer, rates)

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
    """Wait until a device has done all that it was told; a CPU always has."""
    if device.type in ("cuda", "xpu", "mps"):
        getattr(torch, device.type).synchronize()


def _clocks_s() -> tuple[float, float, float | None]:
    """Wall time, CPU time and run delay of one moment: the thread lost its core in none between."""
    delay_s = _run_delay_s()
    while True:
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        before, delay_s = delay_s, _run_delay_s()
        if delay_s == before:
            return wall_s, cpu_s, delay_s


def _run_delay_s() -> float | None:
    """Seconds that this thread has spent ready to run while the machine ran somebody else.

    The second number of schedstat: https://docs.kernel.org/scheduler/sched-stats.html
    """
    try:
        return int(_SCHEDSTAT.read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return None


def _energy_j(device: torch.device) -> float | None:
    """Joules that the device has drawn since its driver started, by NVML where that is here."""
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
    # CUDA may number devices otherwise than NVML does.
    return f"GPU-{torch.cuda.get_device_properties(device).uuid}".encode()


def _difference(begin: float | None, end: float | None) -> float | None:
    return None if begin is None or end is None else end - begin
