"""Controls: a release with one line changed, which must differ from itself where the line acts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studies.release_pairs.rows import DIFFERENT, IDENTICAL

__all__ = ["CONTROLS", "Control", "mistakes", "plant"]


@dataclass(frozen=True)
class Control:
    """A line of a release that is changed in its environment, and what this must change."""

    library: str
    version: str
    file: str
    """The file, within the folder of the installed packages."""
    old: str
    """A text that is once in it."""
    new: str
    does: str
    """What the change does, as a sentence without a subject."""
    loops: tuple[str, ...]
    """The loops that call the line. They must differ in both modes, and the others must not."""
    step: int
    """The first step that must differ."""


CONTROLS: Sequence[Control] = (
    Control(
        "transformers",
        "5.22.2",
        "transformers/optimization.py",
        "return max(0.0, float(num_training_steps - current_step) / ",
        "return max(0.0, float(num_training_steps - current_step + 1) / ",
        "lets the learning rate fall one step later",
        ("accelerated", "trainer"),
        4,
    ),
    Control(
        "accelerate",
        "1.14.0",
        "accelerate/accelerator.py",
        "            loss.backward(**kwargs)\n",
        "            (loss * 1.0001).backward(**kwargs)\n",
        "multiplies each loss by 1.0001 before its backward pass",
        ("accelerated", "trainer"),
        1,
    ),
)
"""The warm-up of the case ends with step 3, so the first control acts from step 4 on."""


def plant(control: Control, environment: Path) -> None:
    """Change the line in an environment. Raises `ValueError` if its text is not there once."""
    (path,) = environment.glob(f"lib/python*/site-packages/{control.file}")
    text = path.read_text(encoding="utf-8")
    if control.new in text:  # by a study that was stopped
        return
    if text.count(control.old) != 1:
        raise ValueError(f"{control.file} of {control.version} has {control.old!r} once")
    path.write_text(text.replace(control.old, control.new), encoding="utf-8")


def mistakes(control: Control, rows: Sequence[dict[str, Any]]) -> list[str]:
    """Where the rows are not as the changed line demands."""
    found = []
    for row in rows:
        expected = (DIFFERENT, control.step) if row["loop"] in control.loops else (IDENTICAL, None)
        if expected != (row["outcome"], row.get("step")):
            found.append(f"{row['mode']}, {row['loop']}: {row['outcome']}, {row.get('step')}")
    return found
