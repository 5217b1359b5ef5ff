"""The files of the user's own that a run executes: its loop and its task. They are only read."""

from __future__ import annotations

from pathlib import Path

import xxhash

from harness.spec.case import RunSpec

__all__ = ["digests_of_files"]


def digests_of_files(spec: RunSpec) -> dict[str, str]:
    """By path: the 128-bit XXH3 of each file; empty if loop and task belong to the harness.

    Other modules that such a file imports are not covered.
    """
    paths = [name for name in (spec.loop, spec.case.workload) if name.endswith(".py")]
    return {
        name: xxhash.xxh3_128(Path(name).read_bytes()).hexdigest()
        for name in paths
        if Path(name).is_file()
    }
