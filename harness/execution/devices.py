"""Which devices are here. A process of its own asks torch, which this one does not import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

__all__ = ["asking_for_devices"]

_TIMEOUT_S = 60.0
_COMMAND = ["-m", "harness.execution.child.devices"]


def asking_for_devices() -> Callable[[], dict[str, int] | None]:
    """Start to ask; the result waits for the answer: the number of devices by kind.

    None if torch cannot be imported or does not answer.
    """
    package = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    process = subprocess.Popen(
        [sys.executable, "-P", *_COMMAND],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )

    def answer() -> dict[str, int] | None:
        try:
            found, _ = process.communicate(timeout=_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return None
        return json.loads(found) if process.returncode == 0 else None

    return answer
