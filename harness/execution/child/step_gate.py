"""The turn gate of a command: the optimizer steps of an unchanged script wait for their turn.

It counts the steps of the first optimizer that makes one, and of another only when that one is
gone. A second process of the command that trains connects too, so that the parent sees it.
"""

from __future__ import annotations

import atexit
import json
import multiprocessing
import os
import socket
import weakref
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, NoReturn

import torch
from torch.optim import Optimizer

from harness.execution.child.turns import Turns
from harness.tracing import steps

__all__ = ["StepGate"]

_PARENT_ENDED = 3


class StepGate:
    """Waits after each optimizer step until a turn is granted."""

    def __init__(self, address: str) -> None:
        """`address`: of the socket at which the parent listens."""
        self._address = address
        self._turns: Turns | None = None
        self._connection: Connection | None = None
        self._followed: weakref.ref[Optimizer] | None = None
        self._made = 0

    def install(self) -> None:
        """Begin to notice steps."""
        steps.listen(self)
        os.register_at_fork(after_in_child=self._forget)
        atexit.register(self._tell_end)

    def step_begins(self, optimizer: Optimizer) -> None:
        """See `StepListener`."""

    def step_ends(self, optimizer: Optimizer) -> None:
        """See `StepListener`. Returns when the next step is granted."""
        if torch.compiler.is_compiling():
            return
        followed = None if self._followed is None else self._followed()
        if followed is None:
            self._followed = weakref.ref(optimizer)
        elif followed is not optimizer:
            return
        self._made += 1
        try:
            if self._turns is None:
                self._turns = self._connect(optimizer)
                granted = self._turns.ready(**_facts(optimizer))
            else:
                granted = self._turns.step_made()
        except (EOFError, OSError):
            _end()
        if not granted:
            _end()

    def _connect(self, optimizer: Optimizer) -> Turns:
        with socket.socket(socket.AF_UNIX) as door:
            door.connect(self._address)
            self._connection = Connection(door.detach())
        return Turns(self._connection, _device(optimizer), lambda: None, _counted)

    def _tell_end(self) -> None:
        """Send that the program ends, and after how many steps."""
        if self._connection is not None:
            with suppress(OSError):
                message = json.dumps({"event": "ended", "made": self._made})
                self._connection.send_bytes(message.encode())

    def _forget(self) -> None:
        """A forked process has no part in the turns of its parent."""
        if self._connection is not None:
            self._connection.close()
        self._connection = self._turns = self._followed = None
        self._made = 0


def _facts(optimizer: Optimizer) -> dict[str, Any]:
    held = {id(p): p for group in optimizer.param_groups for p in group["params"]}
    distributed = torch.distributed
    together = distributed.is_available() and distributed.is_initialized()
    return {
        "parameters": sum(parameter.numel() for parameter in held.values()),
        "device": _device(optimizer).type,
        "world_size": distributed.get_world_size() if together else 1,
    }


def _counted(steps_made: int) -> dict[str, Any]:
    """What is known of the rows of an unchanged script: nothing. Workers of a loader are seen."""
    nothing = {"samples": 0, "tokens": 0, "padded_tokens": 0}
    return {**nothing, "workers": len(multiprocessing.active_children())}


def _device(optimizer: Optimizer) -> torch.device:
    parameters = (p for group in optimizer.param_groups for p in group["params"])
    return next((p.device for p in parameters), torch.device("cpu"))


def _end() -> NoReturn:
    """End the process: its parent needs no more steps of it, or has ended."""
    os._exit(_PARENT_ENDED)
