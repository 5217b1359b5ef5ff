"""Takes turns: a process trains as many steps as its parent grants, and then waits.

Between two turns it waits on a connection to its parent and uses no CPU time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import torch

from harness.execution.child.clocks import Edge

__all__ = ["Turns"]


class Turns:
    """The turns of one process.

    It sends its parent `ready` when it may be granted the first turn, and after each turn the times
    of all its steps but the first, which includes waking up.
    """

    def __init__(
        self,
        connection: Connection,
        device: torch.device,
        on_begin: Callable[[], None],
        counted: Callable[[int], dict[str, Any]],
        yardstick: Callable[[], float] | None = None,
    ) -> None:
        """`on_begin`: called after the first step of a turn, from which on steps count. `counted`:
        what its other steps did, by their number, as JSON values. `yardstick`: does a fixed piece
        of work at the start of a turn, returns own seconds."""
        self._connection, self._device = connection, device
        self._on_begin, self._counted, self._yardstick = on_begin, counted, yardstick
        self._yardstick_s: float | None = None
        self._granted = self._made = 0

    def ready(self, **facts: Any) -> bool:
        """Send that the training is about to begin; see `wait`."""
        self._send(event="ready", **facts)
        return self.wait()

    def step_made(self) -> bool:
        """Count a step; at the end of a turn report it, and wait. See `wait`."""
        self._made += 1
        if self._made == 1:
            self._begin = Edge(self._device)
            self._on_begin()
        if self._made < self._granted:
            return True
        self._report(Edge(self._device))
        return self.wait()

    def wait(self) -> bool:
        """Wait for the next turn; whether there is one. Raises `EOFError` if the parent ended."""
        steps = json.loads(self._connection.recv_bytes())["steps"]
        self._granted, self._made = steps, 0
        if steps and self._yardstick:
            self._yardstick_s = self._yardstick()
        self._woken = time.perf_counter()
        return bool(steps)

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
            **self._counted(steps),
        )

    def _send(self, **facts: Any) -> None:
        self._connection.send_bytes(json.dumps(facts).encode())


def _difference(begin: float | None, end: float | None) -> float | None:
    return None if begin is None or end is None else end - begin
