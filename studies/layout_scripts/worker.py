"""One process of a group that makes all trainings of a layout, one after the other.

    torchrun --nproc-per-node N -m studies.layout_scripts.worker PLAN.json

The plan is a list of trainings: a folder, a layout, a kind, the steps, a seed, and a line of
`train.py` that becomes another.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.utils._python_dispatch import TorchDispatchMode

from harness.spec.command import CommandSpec
from harness.tracing.attach.recording import Recording

__all__ = ["main"]

TRAIN = Path(__file__).parent / "train.py"


class Sent(TorchDispatchMode):
    """Counts the bytes of the tensors that this process hands to collective operations."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch has no types here
        self.bytes = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Count, and call the operation."""
        if function.namespace in ("c10d", "_c10d_functional"):
            self.bytes += sum(
                each.nbytes
                for each in torch.utils._pytree.tree_leaves((args, kwargs))
                if isinstance(each, torch.Tensor)
            )
        return function(*args, **(kwargs or {}))


def main(plan: str) -> None:
    """Make the trainings of a plan."""
    torch.set_num_threads(1)
    trainings = json.loads(Path(plan).read_text(encoding="utf-8"))
    if trainings[0]["layout"] != "alone":
        dist.init_process_group("gloo")
    for number, training in enumerate(trainings, start=1):
        _make(training, number)
    if dist.is_initialized():
        dist.destroy_process_group()


def _make(training: dict[str, Any], number: int) -> None:
    """One training, and its record unless it is made without one."""
    text = TRAIN.read_text(encoding="utf-8")
    if text.count(training["old"]) != 1:
        raise ValueError(f"{training['old']!r} must occur once in {TRAIN.name}")
    program: dict[str, Any] = {"__name__": "train"}
    exec(compile(text.replace(training["old"], training["new"]), TRAIN, "exec"), program)  # noqa: S102  # a planted fault of our own
    rank = dist.get_rank() if dist.is_initialized() else 0
    folder = Path(training["folder"])
    recording = None
    if training["traced"]:
        spec = CommandSpec(name="training", digests="device")
        recording = Recording(folder / f"{rank}", spec, lambda device: {}, number)

    def watch(model: Any, optimizer: Any) -> None:
        if recording is not None:
            recording.watch(model, [optimizer])

    options = {name: training[name] for name in ("layout", "kind", "steps", "seed")}
    with Sent() as sent:
        program["train"](**options, watch=watch)
        if recording is not None:
            recording.close("completed")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"sent-{rank}.txt").write_text(f"{sent.bytes}\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
