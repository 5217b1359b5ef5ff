"""A pair of trainings without a fault, and what the harness says of it."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.comparison.compare_folders import compare_folders
from harness.report.text.summary import sentence

__all__ = ["Pair", "examined"]


@dataclass(frozen=True)
class Pair:
    """Two records that must be called equal, and be given no cause."""

    kind: str
    """Why its two records must be equal."""
    name: str
    reference: Path
    candidate: Path
    renames: tuple[tuple[str, str], ...] = ()
    noise: Path | None = None
    """The draws of its reference, if the two may differ by rounding."""


def examined(pair: Pair) -> dict[str, Any]:
    """What the harness says of a pair, and whether that is an alarm or a name.

    A pair with draws is an alarm only if it is called different. If it is inconclusive, that is
    counted by itself.
    """
    with tempfile.TemporaryDirectory(prefix="clean-") as scratch:
        one, two = Path(scratch) / "reference", Path(scratch) / "candidate"
        shutil.copytree(pair.reference, one)
        shutil.copytree(pair.candidate, two)
        report, _ = compare_folders(
            one, two, Path(scratch) / "out", ["harness"], noise=pair.noise, renames=pair.renames
        )
    (found,) = report.comparisons
    alarm = found.outcome not in ("identical", "within_noise")
    if pair.noise is not None:
        alarm = alarm and found.outcome != "inconclusive"
    causes = [cause.id for cause in found.causes]
    # A report names no cause of a pair within noise.
    shown = found.outcome not in ("within_noise", "inconclusive")
    return {
        "kind": pair.kind, "name": pair.name, "outcome": found.outcome, "alarm": alarm,
        "names": causes if shown else [], "not_shown": [] if shown else causes,
        "sentence": sentence(found), "doubts": list(found.doubts),
    }  # fmt: skip
