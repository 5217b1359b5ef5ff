"""Trains planted faults and compares them; faults on one ground share the reference run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.comparison.compare import compare
from harness.execution.parent.runner import OnEvent, Run, run_all
from harness.results.comparison import Comparison
from harness.results.record import RunRecord
from harness.spec import registry
from harness.spec.case import RunSpec
from tests.faults.fault import Fault
from tests.faults.mutations import path_of
from tests.support.small_runs import write_pairs

__all__ = ["find"]


def find(
    faults: Sequence[Fault],
    folder: Path,
    jobs: int = 2,
    on_event: OnEvent = lambda _number, _event: None,
) -> dict[str, Comparison]:
    """Compare each fault with its reference; results by fault name. Records stay in `folder`."""
    data = write_pairs(folder / "data")
    specs: dict[Path, RunSpec] = {}
    pairs: dict[str, tuple[Path, Path]] = {}
    for fault in faults:
        ground, case = fault.ground, fault.ground.case(data)
        right = path_of(ground.reference or fault.loop)
        paths = folder / ground.name / f"right-{Path(right).stem}", folder / fault.name
        specs[paths[0]] = registry.run_spec(case, right)
        if not fault.environment:
            specs[paths[1]] = registry.run_spec(
                case, path_of(fault.loop), resume_at=ground.resume_at
            )
        pairs[fault.name] = paths
    runs = [Run(spec, path) for path, spec in specs.items()]
    run_all(runs, jobs, on_event, keep_going=True)
    for fault in faults:
        if fault.environment:
            _run_in_its_environment(fault, data, pairs[fault.name][1])
    found = {}
    for fault in faults:
        records = tuple(RunRecord(path) for path in pairs[fault.name])
        names = tuple(record.spec.run_label for record in records)
        found[fault.name] = compare(records[0], records[1], (names[0], names[1]))
    return found


def _run_in_its_environment(fault: Fault, data: Path, target: Path) -> None:
    """Run the command: the server that forks workers keeps the variables it started with."""
    settings = [f"--set={key}={value}" for key, value in fault.ground.settings.items()]
    out = target.with_name(f"{target.name}-run")
    subprocess.run(
        [
            sys.executable, "-m", "harness", "run", "paraphrase", f"--loops={path_of(fault.loop)}",
            f"--set=data={data}", "--set=num_epochs=2", *settings, f"--out={out}",
        ],
        env={**os.environ, **fault.environment},
        capture_output=True,
        check=False,  # one run alone gives no verdict
    )  # fmt: skip
    (out / "records" / f"paraphrase-{fault.loop}").rename(target)
