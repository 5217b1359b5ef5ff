"""`Report`: what is said about a set of runs. The shape of `report.json` is a contract.

A field may be added; none changes its meaning without a new schema version.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError

from harness.errors import RecordError
from harness.results.benchmark import BenchResult
from harness.results.comparison import Comparison
from harness.results.explanation import Explanation
from harness.results.record import RunRecord, write_atomically
from harness.results.regression import CheckResult
from harness.results.upgrade import BisectResult, UpgradeResult
from harness.spec.case import Case
from harness.spec.expand import variant_of

__all__ = [
    "REPORT_FILE",
    "REPORT_VERSION",
    "Report",
    "RunSummary",
    "Verdict",
    "verdict",
]

REPORT_VERSION = 1
"""1: first version."""
REPORT_FILE = "report.json"

Verdict = Literal["equivalent", "different", "regression", "no_verdict", "failed"]
_AGREEING = ("identical", "within_noise", "equivalent")


class RunSummary(BaseModel):
    """One run, without its traces."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    case: str
    loop: str
    device: str
    world_size: int
    status: str
    steps: int
    final_metrics: dict[str, float]
    record: str
    """Path of the record, relative to the report's folder."""
    seed: int | None = None
    """Where the run is one of several seeds of its case: which."""
    conventions: str
    overrides: dict[str, Any]
    """Recipe fields in which this loop departs from the case's recipe, with its values."""
    samples: int
    epochs: float
    wall_s: float | None
    """Seconds in the loop; not a benchmark."""
    samples_per_s: float | None
    """Samples over those seconds; not a benchmark."""
    warnings: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()
    """What the loop did to work around faults of its framework."""
    resumed_from: tuple[int, ...] = ()
    """Steps from whose checkpoints it went on in a new process."""
    repeated_samples: int = 0
    """Samples that several processes saw again in an epoch, to fill up its last round."""
    error: str | None = None
    one_of: str = ""
    """The case of which it is one on several devices, or with several libraries; else empty."""
    where: str = ""
    """Which of them, as comparisons say it after the loop: 'on cpu', 'with torch 2.13.0'."""


class Report(BaseModel):
    """Everything that the pages show."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    schema_version: int = REPORT_VERSION
    verdict: Verdict
    comparisons: tuple[Comparison, ...]
    runs: tuple[RunSummary, ...]
    recipes: dict[str, dict[str, Any]]
    """The recipe that each case asked for, with the options of its workload."""
    environment: dict[str, Any]
    """Of the first run; where others differ, their own records say so."""
    command: tuple[str, ...]
    bench: dict[str, BenchResult] = {}
    """By case: how the speeds of its comparisons were measured, where they were."""
    gate: CheckResult | None = None
    """What differs from the accepted baseline, where that was asked for."""
    upgrade: UpgradeResult | None = None
    """What other libraries changed and what not, where that was asked for."""
    bisect: BisectResult | None = None
    """Which release of a package is the first that trains otherwise, where that was asked for."""
    explanations: tuple[Explanation, ...] = ()
    """Which fields make the difference of a pair, where that was asked for."""
    odd_one_out: str = ""
    """What a majority of three loops says, where that was asked for."""
    _folder: Path | None = PrivateAttr(None)

    @property
    def folder(self) -> Path | None:
        """Where its pages and records are; None where nobody said."""
        return self._folder

    def kept_in(self, folder: Path) -> Report:
        """The same report, which knows that its pages and records are in `folder`."""
        copy = self.model_copy()
        copy._folder = folder
        return copy

    def write_json(self, folder: Path) -> Path:
        """`report.json` in `folder`, atomically."""
        path = folder / REPORT_FILE
        with write_atomically(path) as temporary:
            temporary.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")
        return path

    @classmethod
    def read(cls, folder: Path) -> Report:
        """The report in `folder`. Raises `RecordError` where there is none that can be read."""
        path = folder / REPORT_FILE
        remedy = "pass the output folder of a harness command"
        try:
            report = cls.model_validate_json(path.read_text(encoding="utf-8"))
        except OSError:
            raise RecordError(f"a run folder holds a {REPORT_FILE}", folder, remedy) from None
        except (ValidationError, UnicodeDecodeError):
            raise RecordError(f"{REPORT_FILE} must be whole", path, remedy) from None
        if report.schema_version != REPORT_VERSION:
            rule = f"this harness reads reports of schema version {REPORT_VERSION}"
            raise RecordError(rule, f"version {report.schema_version} in {path}", remedy)
        return report

    @classmethod
    def of(
        cls,
        records: Sequence[tuple[str, RunRecord]],
        comparisons: Sequence[Comparison],
        folder: Path,
        command: Sequence[str],
        explanations: Sequence[Explanation] = (),
        odd_one_out: str = "",
    ) -> Report:
        """A report for labelled records; their paths are kept relative to `folder`."""
        runs = tuple(_summary(label, record, folder) for label, record in records)
        return cls(
            verdict=verdict([run.status for run in runs], comparisons, explanations),
            explanations=tuple(explanations),
            odd_one_out=odd_one_out,
            comparisons=tuple(comparisons),
            runs=runs,
            recipes=_recipes(record.spec.case for _, record in records),
            environment=records[0][1].header.environment if records else {},
            command=tuple(command),
        )


def _recipes(cases: Iterable[Case]) -> dict[str, dict[str, Any]]:
    """Of each case; the seeds of one case are one, whose seed is a list."""
    found: dict[str, dict[str, Any]] = {}
    for case in cases:
        recipe = {**case.options, **case.recipe.model_dump(mode="json")}
        name = case.seed_of or case.name
        if case.seed_of is not None:
            before = found.get(name, {}).get("seed", [])
            recipe["seed"] = sorted({*before, case.recipe.seed})
        found[name] = recipe
    return found


def _summary(label: str, record: RunRecord, folder: Path) -> RunSummary:
    header, spec = record.header, record.spec
    asked = spec.case.recipe.model_dump(mode="json")
    followed = spec.recipe.model_dump(mode="json")
    one_of, where = variant_of(spec.case)
    return RunSummary(
        one_of=one_of,
        where=where,
        case=spec.case.seed_of or spec.case.name,
        loop=label,
        seed=None if spec.case.seed_of is None else spec.case.recipe.seed,
        device=spec.case.device,
        world_size=spec.case.world_size,
        status=header.status,
        steps=header.steps,
        final_metrics=header.final_metrics,
        record=os.path.relpath(record.folder, folder),
        conventions=spec.conventions,
        overrides={name: followed[name] for name in asked if asked[name] != followed[name]},
        samples=header.samples,
        epochs=header.epochs,
        wall_s=header.wall_s,
        samples_per_s=header.samples / header.wall_s if header.wall_s else None,
        warnings=header.warnings,
        remedies=header.remedies,
        resumed_from=header.resumed_from,
        repeated_samples=header.repeated_samples,
        error=header.error,
    )


def verdict(
    statuses: Sequence[str],
    comparisons: Sequence[Comparison],
    explanations: Sequence[Explanation] = (),
) -> Verdict:
    """The worst of all: a failure, then a difference, then not knowing; else equivalent.

    What was not run is not known. Where an explanation was asked for, it is what was to be known.
    """
    outcomes = [comparison.outcome for comparison in comparisons]
    if any(status not in ("completed", "stopped", "not run") for status in statuses):
        return "failed"
    if any(found.outcome == "unfinished" for found in explanations):
        return "no_verdict"
    if "different" in outcomes:
        return "different"
    if (
        "not run" in statuses
        or not outcomes
        or any(outcome not in _AGREEING for outcome in outcomes)
    ):
        return "no_verdict"
    return "equivalent"
