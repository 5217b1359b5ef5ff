"""`Report`: the results of a set of runs. The format of `report.json` is a contract.

A field may be added; no field changes its meaning without a new schema version. The JSON Schema is
`docs/report.schema.json`, made by `harness.results.report_schema`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PrivateAttr, ValidationError

from harness.errors import RecordError
from harness.results.base import Result
from harness.results.benchmark import BenchResult
from harness.results.comparison import Comparison
from harness.results.explanation import Explanation
from harness.results.origin import Origin, current_origin
from harness.results.record import RunRecord, write_atomically
from harness.results.regression import CheckResult
from harness.results.upgrade import BisectResult, UpgradeResult
from harness.spec.case import Case, RunSpec
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


class RunSummary(Result):
    """One run, without its traces."""

    case: str
    """Name of the case."""
    loop: str
    """Label of the run: its loop, with the repetition or arm if there are several."""
    device: str
    """Device of the run, such as `cpu` or `cuda`."""
    world_size: int
    """Number of processes that train together."""
    status: str
    """`completed`, `stopped`, `failed`, `interrupted` or `not run`."""
    steps: int
    """Number of optimizer updates."""
    final_metrics: dict[str, float]
    """Metrics of the evaluation after the last step; empty without one."""
    record: str
    """Path of the record, relative to the folder of the report."""
    seed: int | None = None
    """The seed, if the case is run with several seeds."""
    conventions: str = ""
    """`matched` or `native`; empty for a command."""
    overrides: dict[str, Any] = Field(default_factory=dict)
    """Recipe fields in which this run differs from the recipe of the case, with its values."""
    samples: int
    """Number of rows trained on, with repetitions."""
    epochs: float
    """Samples / rows of the training set."""
    wall_s: float | None
    """Seconds in the loop; not a benchmark."""
    samples_per_s: float | None
    """Samples / `wall_s`; not a benchmark."""
    warnings: tuple[str, ...] = ()
    """Warnings of the run."""
    remedies: tuple[str, ...] = ()
    """What the loop did to work around faults of its framework."""
    resumed_from: tuple[int, ...] = ()
    """Steps of the checkpoints from which the run continued in a new process."""
    repeated_samples: int = 0
    """Samples that were repeated in an epoch, to pad its last round with several processes."""
    error: str | None = None
    """Why the run failed, in one line."""
    one_of: str = ""
    """The original case, if the case is run on several devices or with several libraries."""
    where: str = ""
    """The device or libraries, as comparisons show them: 'on cpu', 'with torch 2.13.0'."""


class Report(Result):
    """Everything that the pages of a report show."""

    schema_version: int = REPORT_VERSION
    """Version of this format."""
    verdict: Verdict
    """The worst result of all comparisons and runs; it decides the exit code."""
    comparisons: tuple[Comparison, ...]
    """One comparison per pair of runs, or per pair of loops over several seeds."""
    runs: tuple[RunSummary, ...]
    """One summary per run."""
    recipes: dict[str, dict[str, Any]]
    """The recipe of each case, with the options of its workload."""
    environment: dict[str, Any]
    """Hardware and versions of the first run; each record holds its own."""
    command: tuple[str, ...]
    """The command line that made the report."""
    bench: dict[str, BenchResult] = Field(default_factory=dict)
    """By case: how speeds were measured, in a benchmark."""
    gate: CheckResult | None = None
    """The check against the accepted baseline, if it was requested."""
    upgrade: UpgradeResult | None = None
    """What other library versions changed, if that was requested."""
    bisect: BisectResult | None = None
    """The first release of a package whose training differs, if that was requested."""
    explanations: tuple[Explanation, ...] = ()
    """The fields that cause the difference of a pair, if that was requested."""
    notes: tuple[str, ...] = ()
    """What is to be said before all else, such as why a command left no record."""
    odd_one_out: str = ""
    """The loop that differs from a majority of three, if that was requested."""
    origin: Origin | None = None
    """Where the report comes from. Reports written before 0.5.0 do not hold it."""
    _folder: Path | None = PrivateAttr(None)

    @property
    def folder(self) -> Path | None:
        """The folder of its pages and records; None if it is not known."""
        return self._folder

    def kept_in(self, folder: Path) -> Report:
        """The same report with its folder."""
        copy = self.model_copy()
        copy._folder = folder
        return copy

    def to_json(self) -> str:
        """The text of `report.json`."""
        return self.model_dump_json(indent=1) + "\n"

    def write_json(self, folder: Path) -> Path:
        """Write `report.json` in `folder`, atomically."""
        path = folder / REPORT_FILE
        with write_atomically(path) as temporary:
            temporary.write_text(self.to_json(), encoding="utf-8")
        return path

    @classmethod
    def read(cls, folder: Path) -> Report:
        """The report in `folder`. Raises `RecordError` if it cannot be read."""
        path = folder / REPORT_FILE
        remedy = "pass the output folder of a harness command"
        try:
            report = cls.model_validate_json(path.read_text(encoding="utf-8"))
        except OSError:
            raise RecordError(f"a run folder holds a {REPORT_FILE}", folder, remedy) from None
        except (ValidationError, UnicodeDecodeError):
            raise RecordError(f"{REPORT_FILE} must be a complete report", path, remedy) from None
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
        notes: Sequence[str] = (),
    ) -> Report:
        """A report of labelled records; their paths become relative to `folder`."""
        runs = tuple(_summary(label, record, folder) for label, record in records)
        return cls(
            verdict=verdict([run.status for run in runs], comparisons, explanations),
            explanations=tuple(explanations),
            odd_one_out=odd_one_out,
            notes=tuple(notes),
            comparisons=tuple(comparisons),
            runs=runs,
            recipes=_recipes(
                record.spec.case for _, record in records if isinstance(record.spec, RunSpec)
            ),
            environment=records[0][1].header.environment if records else {},
            command=tuple(command),
            origin=current_origin(folder),
        )


def _recipes(cases: Iterable[Case]) -> dict[str, dict[str, Any]]:
    """The recipe of each case; for several seeds of one case, `seed` is a list."""
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
    of_case: dict[str, Any] = {"case": spec.case_name}
    if isinstance(spec, RunSpec):
        asked = spec.case.recipe.model_dump(mode="json")
        followed = spec.recipe.model_dump(mode="json")
        one_of, where = variant_of(spec.case)
        of_case = {
            "one_of": one_of,
            "where": where,
            "case": spec.case.seed_of or spec.case.name,
            "seed": None if spec.case.seed_of is None else spec.case.recipe.seed,
            "conventions": spec.conventions,
            "overrides": {name: followed[name] for name in asked if asked[name] != followed[name]},
        }
    return RunSummary(
        **of_case,
        loop=label,
        device=spec.device_name,
        world_size=spec.world_size,
        status=header.status,
        steps=header.steps,
        final_metrics=header.final_metrics,
        record=os.path.relpath(record.folder, folder),
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
    """The worst result: `failed`, then `different`, then `no_verdict`; else `equivalent`.

    A run that was not run gives `no_verdict`, and so does an unfinished explanation.
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
