"""A pair of trainings without a fault, and what the harness says of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.comparison.noise.case_noise import CaseNoise
from harness.comparison.pairs import compare_pair
from harness.report.text.summary import sentence
from harness.results.record import HEADER, RunRecord

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
    draws: tuple[Path, ...] = ()
    """The draws of its reference, if the two may differ by rounding."""

    @property
    def is_recorded(self) -> bool:
        """Whether both have a record."""
        return all((path / HEADER).is_file() for path in (self.reference, self.candidate))


def examined(pair: Pair) -> dict[str, Any]:
    """What the harness says of a pair, and whether that is an alarm or a name.

    A pair with draws is an alarm only if it is called different. If it is inconclusive, that is
    counted by itself.
    """
    records = RunRecord(pair.reference), RunRecord(pair.candidate)
    noise = None
    if pair.draws:
        noise = CaseNoise(records[0], [RunRecord(folder) for folder in pair.draws])
    labels = ("reference", "candidate")
    found = compare_pair(pair.name, labels, records, noise, pair.renames)
    alarm = found.outcome not in ("identical", "within_noise")
    if pair.draws:
        alarm = alarm and found.outcome != "inconclusive"
    causes = [cause.id for cause in found.causes]
    # A report names no cause of a pair within noise.
    shown = found.outcome not in ("within_noise", "inconclusive")
    return {
        "kind": pair.kind, "name": pair.name, "outcome": found.outcome, "alarm": alarm,
        "names": causes if shown else [], "not_shown": [] if shown else causes,
        "facts": [fact.id for fact in found.facts],
        "sentence": sentence(found), "doubts": list(found.doubts),
    }  # fmt: skip
