"""What runs in every process of a traced command that imports torch, once it has done so.

Until the process makes an optimizer, only torch and a few modules of the harness are loaded.
"""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.execution.command.options import Options

if TYPE_CHECKING:
    from harness.tracing.attach.recording import Recording

__all__ = ["start"]


def start(options_path: str) -> str:
    """Attach to this process. `options_path`: the file of `Options`. Returns what is wrong."""
    options = Options.read(options_path)
    if not Path(options.parts).is_dir():
        return ""  # the command is over, and this process outlived it
    if options.spec["deterministic"]:
        _make_deterministic(options.num_threads)
    note = partial(_note, Path(options.notes))
    if options.gate:
        from harness.execution.child.step_gate import StepGate

        StepGate(options.gate).install()
        note("")
        return ""
    if options.spec.get("localize_at") is not None:
        _follow(options.spec["localize_at"], options.spec["training"])
    from harness.tracing.attach.attachment import Attachment

    Attachment(partial(_new_recording, options), note).install()
    note("")
    return ""


def _follow(step: int, training: int) -> None:
    """Follow this process from its start on, to localize a difference at a step of a training."""
    from harness.tracing import lines, operations

    lines.start()
    if step == training == 1:
        operations.begin_early()


def _note(folder: Path, problem: str) -> None:
    """Leave word that this process imported torch, and what went wrong."""
    words = [sys.executable, *sys.argv]
    text = json.dumps({"problem": problem, "command": words, "python": sys.version.split()[0]})
    try:
        (folder / f"{os.getpid()}.json").write_text(text, encoding="utf-8")
    except OSError:  # the folder is gone, or the disk is full: the program goes on
        return


def _make_deterministic(num_threads: int) -> None:
    import torch

    from harness.training.seeding import make_deterministic

    # The flags of CUDA have no effect on a machine without it.
    make_deterministic(torch.device("cuda"), num_threads)


def _new_recording(options: Options, number: int) -> Recording:
    """Begin the recording of the training with this number, and import what it needs."""
    from harness.execution.child.metadata import describe
    from harness.spec.command import CommandSpec
    from harness.tracing.attach.recording import Recording

    def described(device: Any) -> dict[str, Any]:
        return describe(device, options.commit, options.repository)

    folder = Path(options.parts) / f"{os.getpid()}-{number}"
    spec = CommandSpec.model_validate(options.spec)
    if spec.localize_at is not None and number != spec.training:
        spec = spec.model_copy(update={"localize_at": None, "detail": "steps"})
    perturb = None
    if spec.perturbation is not None:
        from harness.training.perturbation import perturb_weights

        perturb = partial(perturb_weights, perturbation=spec.perturbation)
    return Recording(folder, spec, described, number, perturb)
