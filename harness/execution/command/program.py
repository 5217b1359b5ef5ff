"""The program of a command: where it is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

from harness.errors import SpecError

__all__ = ["find_program"]


def find_program(words: Sequence[str]) -> str:
    """The path of the program that `words` begin with. Raises `SpecError` if there is none."""
    if not words or not words[0]:
        raise SpecError(
            "harness trace takes a command",
            "none",
            "write it after --, as in `harness trace -- python train.py`",
        )
    name = words[0]
    found = shutil.which(name)
    if found is not None:
        return found
    remedy = "check its spelling; a script needs its interpreter, as in `python train.py`"
    if os.path.exists(name):
        raise SpecError("a command begins with a program that can be executed", name, remedy)
    raise SpecError("a command begins with a program on the PATH", name, remedy)
