"""Which releases are trained: those of a requirement, without builds for CUDA."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable

from packaging.requirements import Requirement
from packaging.version import Version

__all__ = ["LIBRARIES", "chosen", "cuda_build", "unfit"]

LIBRARIES = ("transformers>=4.57,<6", "accelerate>=1.10", "torch>=2.8")
"""transformers and torch: the ranges of pyproject.toml. accelerate: more than its range, in which
there is one release; `harness upgrade` takes any."""
_LARGE = ("torch",)
_CUDA = ("nvidia", "cuda")
_TIMEOUT_S = 300.0


def chosen(wanted: Iterable[Requirement], every: Iterable[str]) -> list[str]:
    """The releases of `every` that fit one of the ranges, the oldest first.

    A local version beside its public one is left out.
    """
    ranges = list(wanted)
    fitting = {
        Version(text) for text in every if any(each.specifier.contains(text) for each in ranges)
    }
    local = {each for each in fitting if each.local and Version(each.public) in fitting}
    return [str(each) for each in sorted(fitting - local)]


def unfit(wanted: Requirement) -> str:
    """Why a release is not to be installed, before it is downloaded; empty if nothing is known.

    pip answers from the metadata of the file that it would choose here.
    """
    if wanted.name not in _LARGE:
        return ""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    options = ["--dry-run", "--no-deps", "--ignore-installed", "--quiet", "--report", "-"]
    done = subprocess.run(
        [*pip, *options, str(wanted)],
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        return (errors or ["pip cannot install it"])[0].removeprefix("ERROR: ")
    (found,) = json.loads(done.stdout)["install"]
    return cuda_build(found["metadata"].get("requires_dist", []))


def cuda_build(requirements: Iterable[str]) -> str:
    """Why a file with these requirements is left out; empty unless it is a build for CUDA."""
    parsed = map(Requirement, requirements)
    names = sorted(
        each.name
        for each in parsed
        if each.name.startswith(_CUDA) and (each.marker is None or each.marker.evaluate())
    )
    if not names:
        return ""
    return f"the index has only a build for CUDA here, which needs {names[0]} and others"
