"""What is attached to one process: it decides which optimizers belong to one training.

Optimizers belong to one training if they are made before its first update, or if they share
parameters with it. An optimizer that is made later, for parameters that were never trained, begins
another training; the record of the one before is then closed.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.optim import Optimizer

from harness.errors import NO_SPACE, is_disk_full
from harness.tracing import sites
from harness.tracing.attach.exceptions import Exceptions
from harness.tracing.attach.found import watch_found
from harness.tracing.attach.notice import Event, Notice
from harness.tracing.attach.quiet import quiet_imports
from harness.tracing.by_hand import ByHand

if TYPE_CHECKING:
    from harness.tracing.attach.recording import Recording
    from harness.tracing.forward import ForwardPass

__all__ = ["Attachment"]


class Attachment:
    """Records every training of this process, and of the processes that are forked from it."""

    def __init__(
        self, new_recording: Callable[[int], Recording], on_problem: Callable[[str], None]
    ) -> None:
        """`new_recording` begins the recording of the training with a number; it imports libraries.

        `on_problem`: receives what was not recorded because the harness failed.
        """
        self._new_recording, self._on_problem = new_recording, on_problem
        self._notice = Notice(self._on_optimizers, self._guarded, self._on_by_hand)
        self._exceptions = Exceptions()
        self._recording: Recording | None = None
        self._trained: set[int] = set()
        self._recordings = 0
        self._seed_at_start = torch.initial_seed()

    def install(self) -> None:
        """Attach to this process."""
        sites.install()  # first, so that what notices optimizers can be removed before it
        self._notice.install()
        self._exceptions.install(self._remove_hooks)
        os.register_at_fork(before=self._before_fork, after_in_child=self._after_fork)
        atexit.register(self._close_here)
        leave = os._exit

        def _exit(status: int) -> None:
            self._close_here()
            leave(status)

        os._exit = _exit  # type: ignore[assignment]  # it never returns either

    def close(self) -> None:
        """Write the record of the current training."""
        recording, self._recording = self._recording, None
        if recording is None:
            return
        with self._guarded("the record could not be written"):
            # The second: a process of multiprocessing handles an exception by itself.
            error = self._exceptions.last or sys.exc_info()[1]
            if isinstance(error, KeyboardInterrupt):
                recording.close("interrupted", error)
            elif error is None or (isinstance(error, SystemExit) and not error.code):
                recording.close("completed")
            else:
                recording.close("failed", error)

    def _on_optimizers(
        self, optimizers: list[Optimizer], called: nn.Module | None, event: Event
    ) -> None:
        held = {id(p) for each in optimizers for g in each.param_groups for p in g["params"]}
        recording = self._recording
        # Without a step: backward passes before there was an optimizer, which trained nothing.
        if recording is not None and (
            not held & self._trained if recording.steps else recording.by_hand
        ):
            self.close()
        if self._recording is None:
            self._recordings += 1
            self._trained = set()
            with quiet_imports():
                self._recording = self._new_recording(self._recordings)
            self._recording.probe.seed_at_start = self._seed_at_start
            self._close_at_end_of_process()
        self._trained |= held
        watch_found(self._recording, optimizers, called, event)

    def _on_by_hand(self, optimizer: ByHand, passes: list[ForwardPass]) -> None:
        self._on_optimizers([optimizer], passes[-1].module if passes else None, "backward")
        if self._recording is not None:
            self._recording.by_hand = True
            self._recording.probe.passed(passes)

    def _remove_hooks(self) -> None:
        """Called when an exception ends the program, before it is shown."""
        self._notice.remove()
        sites.remove()
        if self._recording is not None:
            self._recording.finish()

    def _close_at_end_of_process(self) -> None:
        """A process of multiprocessing may end without the functions of `atexit`."""
        processes = sys.modules.get("multiprocessing.process")
        if processes is not None and processes.parent_process() is not None:
            from multiprocessing.util import Finalize

            Finalize(None, self._close_here, exitpriority=100)

    def _close_here(self) -> None:
        with self._guarded("the record could not be written"):
            self.close()

    def _before_fork(self) -> None:
        """No file of the record is open while the process has a copy of itself."""
        if self._recording is not None:
            with self._guarded("rows could not be set aside"):
                self._recording.before_fork()

    def _after_fork(self) -> None:
        recording, self._recording = self._recording, None
        self._trained = set()
        with self._guarded("a forked process could not be watched"):
            if recording is not None:
                recording.abandon()
            self._notice.forget()

    @contextmanager
    def _guarded(self, what: str = "an optimizer could not be watched") -> Iterator[None]:
        """A fault in the harness ends the recording, never the program."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  # any fault is the harness's own
            self._notice.remove()
            sites.remove()
            why = NO_SPACE if is_disk_full(error) else f"{what}: {type(error).__name__}: {error}"
            self._on_problem(why)
