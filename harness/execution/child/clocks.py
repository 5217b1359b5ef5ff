"""The clocks of a process that is timed, read at one moment between two steps."""

from __future__ import annotations

import time
from pathlib import Path

import torch

__all__ = ["Edge", "own_clock_s", "synchronize"]

_SCHEDSTAT = Path("/proc/thread-self/schedstat")


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
