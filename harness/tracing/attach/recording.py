"""One training that is recorded from outside: its probe, its files, and what outlives a kill.

The rows are set aside from time to time as finished files, with the header so far beside them. So a
process that is killed leaves the record of its steps until then.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from harness.results.record import SCHEMA_VERSION, Header, RecordWriter, write_atomically
from harness.spec.command import CommandSpec
from harness.tracing import digest
from harness.tracing.attach.files import CUT_OFF, HEADER_SO_FAR, KEPT, PLACE
from harness.tracing.attach.quiet import quiet_imports
from harness.tracing.listener import Listener
from harness.tracing.localizing_probe import LocalizingProbe
from harness.tracing.options import TraceOptions
from harness.tracing.probe import TraceProbe

__all__ = ["Describe", "Perturb", "Recording"]

Describe = Callable[[torch.device], dict[str, Any]]
"""Facts of the environment of a process that uses a device, as JSON values."""
Perturb = Callable[[Sequence[Tensor]], None]
"""Changes weights by rounding alone, before the first pass that trains them."""

_EVERY_S, _SHARE = 0.5, 50  # rows are set aside every 0.5 s, later every 50th of the time so far
_COST, _PATIENCE_S = 1000, 30.0  # but only after 1000 times the time that this took, or after 30 s

Status = Literal["completed", "failed", "interrupted", "stopped"]


class Recording(Listener):
    """Records one training of this process in a folder."""

    def __init__(
        self,
        folder: Path,
        spec: CommandSpec,
        describe: Describe,
        number: int = 1,
        perturb: Perturb | None = None,
    ) -> None:
        """`number`: counts the trainings of this process. `perturb`: for a draw of the noise."""
        self.folder = folder
        self._spec, self._describe = spec, describe
        self._writer = RecordWriter(folder)
        probe = TraceProbe if spec.localize_at is None else LocalizingProbe
        options = TraceOptions(
            detail=spec.detail,
            every=spec.every,
            sketch=spec.sketch,
            localize_at=spec.localize_at,
        )
        self._probe = probe(self._writer, self, options)
        self._perturb = perturb
        self._perturbed: set[int] = set()
        self._place: dict[str, Any] = {"pid": os.getpid(), "rank": 0, "world_size": 1, "group": ""}
        self._place |= {"process_started": _process_start(), "number": number, "models": []}
        self._started = self._kept_at = time.monotonic()
        self._keeping_s = 0.0
        self._device = torch.device("cpu")
        digest.choose(spec.digests, self._device)
        self._environment: dict[str, Any] | None = None
        self._parts = 0
        self._closed = False
        self.by_hand = False
        """Whether the script updates weights itself; see `ByHand`."""

    @property
    def steps(self) -> int:
        """Number of updates so far."""
        return self._probe.counts.steps

    def watch(
        self, model: nn.Module | Mapping[str, Tensor], optimizers: Sequence[Optimizer]
    ) -> None:
        """Watch a model and its optimizers, besides those that are watched already."""
        if isinstance(model, nn.Module):
            parameters: list[Tensor] = list(model.parameters())
            kind = type(getattr(model, "_orig_mod", model)).__name__
        else:
            parameters, kind = list(model.values()), "bare parameters"
        self._device = next((parameter.device for parameter in parameters), self._device)
        if not self.steps:
            digest.choose(self._spec.digests, self._device)
        if kind not in self._place["models"]:
            self._place["models"].append(kind)
        if self._perturb is not None and not self.steps:
            new = [p for p in parameters if id(p) not in self._perturbed and not is_lazy(p)]
            self._perturb(new)
            self._perturbed |= {id(parameter) for parameter in new}
        self._probe.add(model, *optimizers)

    def unseen(self, what: str) -> None:
        """Record that something could not be seen."""
        if what not in self._probe.counts.unseen:
            self._probe.counts.unseen.append(what)

    @property
    def probe(self) -> TraceProbe:
        """The probe that records."""
        return self._probe

    def failed(self, what: str) -> None:
        """Stop recording after a fault of the harness, which the record states."""
        if self._probe.counts.probe_fault is None:
            self._probe.counts.probe_fault = what
        self._probe.detach()

    def before_step(self, step: int) -> None:
        """Set the rows aside if that is due. A fault ends the recording, never the training.

        Now every earlier step is whole. What is read, and when, does not depend on the clock.
        """
        now = time.monotonic()
        affordable = min(_COST * self._keeping_s, _PATIENCE_S)
        due = max(_EVERY_S, (now - self._started) / _SHARE, affordable)
        if step == 1 or (step > 2 and now - self._kept_at < due):
            return
        try:
            self.keep()
        except Exception as error:  # noqa: BLE001  # any fault is the harness's own
            self.failed(
                f"step {step}: rows could not be set aside: {type(error).__name__}: {error}"
            )

    def after_step(self, step: int) -> None:
        """Note the place of the process among those that train together, while they do."""
        if step == 1:
            try:
                self._find_place()
            except Exception as error:  # noqa: BLE001  # as above
                self.failed(f"step 1: {type(error).__name__}: {error}")
        last = self._spec.last_step
        if last is not None and step >= last:  # nothing more is needed of this run
            self.close("completed" if self._spec.localize_at is None else "stopped")
            os._exit(0)

    def keep(self) -> None:
        """Set all rows so far aside, as finished files that outlive this process."""
        began = time.monotonic()
        self._writer.set_aside(self.folder / KEPT / f"{self._parts:06d}")
        self._parts += 1
        header = self._header("failed", CUT_OFF)
        self._write(HEADER_SO_FAR, header.model_dump_json())
        self._kept_at = time.monotonic()
        if self._parts > 1:  # the first time also imports libraries and reads the environment
            self._keeping_s = self._kept_at - began

    def before_fork(self) -> None:
        """Close the files, which a forked process would share."""
        if self._writer.has_open_files:
            self._probe.flush()
            self.keep()

    def finish(self) -> None:
        """Remove the hooks, and write the rows that are still pending."""
        self._probe.close()

    def close(
        self, status: Status, error: BaseException | None = None, also_empty: bool = False
    ) -> None:
        """Write the record. One without a step is removed, except with `also_empty`."""
        if self._closed:
            return
        self._closed = True
        self._probe.close()
        if not self.steps and not also_empty:
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        line = lines = None
        if status == "interrupted":
            line = "stopped by the user"
        elif error is not None:
            line = f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")
        if error is not None:
            lines = "".join(traceback.format_exception(error))
        self._write(PLACE, json.dumps(self._place))
        self._writer.close(self._header(status, line, lines))
        shutil.rmtree(self.folder / KEPT, ignore_errors=True)
        (self.folder / HEADER_SO_FAR).unlink(missing_ok=True)

    def abandon(self) -> None:
        """Forget the recording in a forked process, which must not touch the files of its parent.

        The hooks are removed, since this process may train the model further.
        """
        self._closed = True
        self._probe.detach()

    def _find_place(self) -> None:
        """Find the rank of this process, once it has trained a step with the others."""
        distributed = torch.distributed
        if distributed.is_available() and distributed.is_initialized():
            size = distributed.get_world_size()
            self._place |= {"rank": distributed.get_rank(), "world_size": size, "group": _group()}
        self._write(PLACE, json.dumps(self._place))

    def _header(self, status: Status, error: str | None, lines: str | None = None) -> Header:
        if self._environment is None:
            with quiet_imports():
                self._environment = self._describe(self._device)
        changed = {"device": self._device.type, "world_size": self._place["world_size"]}
        return Header(
            schema_version=SCHEMA_VERSION,
            spec=self._spec.model_copy(update=changed),
            status=status,
            environment=self._environment,
            digest_algorithm=digest.algorithm(),
            tensors_every=self._spec.every,
            wall_s=time.monotonic() - self._started,
            error=error,
            traceback=lines,
            **self._probe.counts.model_dump(),
        )

    def _write(self, name: str, text: str) -> None:
        with write_atomically(self.folder / name) as path:
            path.write_text(text, encoding="utf-8")


def _group() -> str:
    """What the processes that train together share, and others do not: where they meet."""
    from torch.distributed import distributed_c10d

    store = distributed_c10d._get_default_store()
    while (inner := getattr(store, "underlying_store", None)) is not None:
        store = inner
    names = ("path", "host", "port")
    place = [str(getattr(store, name)) for name in names if hasattr(store, name)]
    return " ".join([*place, os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")])


def _process_start() -> int:
    """When this process started, in ticks since the start of the machine; 0 if it is not known."""
    try:
        line = Path("/proc/self/stat").read_text(encoding="utf-8")
    except OSError:
        return 0
    return int(line.rpartition(")")[2].split()[19])
