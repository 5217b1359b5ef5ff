"""Records what trains in a block of code of this process, and leaves nothing behind after it.

All that the block trains is one record. Its optimizers and modules are found as in a traced
command, also those that were made before the block. A process that is forked inside the block is
not recorded.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import nn
from torch.optim import Optimizer

from harness.spec.command import CommandSpec
from harness.tracing import sites, steps
from harness.tracing.attach.files import PLACE
from harness.tracing.attach.found import watch_found
from harness.tracing.attach.notice import Event, Notice
from harness.tracing.attach.recording import Describe, Recording, Status
from harness.tracing.optimizers import living_optimizers
from harness.tracing.wrappers import unwrapped_optimizer

__all__ = ["Block"]

_NO_STEP = "No optimizer of torch.optim made a step."
_OTHERS = "Only one of {} processes that trained together was recorded."

_open: list[Block] = []


class Block:
    """Records from `begin` to `end`."""

    def __init__(self, folder: Path, spec: CommandSpec, describe: Describe) -> None:
        self.recording = Recording(folder, spec, describe)
        self._notice = Notice(self._on_optimizers, self._guarded)
        self._remembers_sites = False

    def begin(self) -> None:
        """Begin to record."""
        _open.append(self)
        self._remembers_sites = sites.install()
        self._notice.install()
        self._notice.wait_for(living_optimizers())

    def watch(self, model: nn.Module, *optimizers: Optimizer) -> None:
        """Record a model and its optimizers. May be called again, for others."""
        self.recording.watch(model, optimizers)
        self._notice.know(unwrapped_optimizer(optimizer) for optimizer in optimizers)

    def end(self, status: Status, error: BaseException | None = None) -> None:
        """Remove every hook, and write the record."""
        self._leave()
        self.recording.finish()
        steps.release()
        if not self.recording.steps:
            self.recording.unseen(_NO_STEP)
        place = self.recording.folder / PLACE
        if place.is_file():
            together = json.loads(place.read_text(encoding="utf-8"))["world_size"]
            if together > 1:
                self.recording.unseen(_OTHERS.format(together))
        self.recording.close(status, error, also_empty=True)
        place.unlink(missing_ok=True)

    def abandon(self) -> None:
        """Record nothing in a forked process, which must not touch the files of its parent."""
        self._leave()
        self.recording.abandon()
        steps.release()

    def _leave(self) -> None:
        if self in _open:
            _open.remove(self)
        self._notice.remove()
        if self._remembers_sites:
            self._remembers_sites = False
            sites.remove()

    def _on_optimizers(
        self, optimizers: list[Optimizer], called: nn.Module | None, event: Event
    ) -> None:
        watch_found(self.recording, optimizers, called, event)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """A fault in the harness ends the recording, never the program."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  # any fault is the harness's own
            self.recording.failed(
                f"an optimizer could not be watched: {type(error).__name__}: {error}"
            )
            self._notice.remove()


def _before_fork() -> None:
    """No file of a record is open while the process has a copy of itself."""
    for block in _open:
        block.recording.before_fork()


def _in_forked_process() -> None:
    for block in _open:
        block.abandon()


# It cannot be taken back, and does nothing while no block is open.
os.register_at_fork(before=_before_fork, after_in_child=_in_forked_process)
