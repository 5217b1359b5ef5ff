"""Measures false alarms and missed faults of the comparison within noise.

    python -m studies.noise_envelope --out FOLDER

Clean pairs compare a reference with the same training on other kernels (optimizer flavour,
attention, threads, and two of these at once), and with perturbed runs that are not draws of its
noise band. They cover several recipes. The allowance in
`harness/comparison/noise/mean_shift.py` was not measured on their seeds. No clean pair may be
`different`.

Small faults are compared with the noise band of their recipe. Their true size, without rounding, is
the difference of a clean and a faulty run in double precision, relative to the bounds of the band.
A fault whose true size exceeds a bound must be `different`. Smaller faults are reported, and so are
faults without any effect in single precision. Only fields of the noise band count here: a wrong
learning rate, for example, is also found by its own stage.

Took 18 minutes with 2 runs at a time. Published: `reports/published/noise-envelope`. The exit code
is 1 if there is a false alarm or a missed fault.
"""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from harness.comparison.compare import compare
from harness.comparison.noise.band import NoiseBand
from harness.comparison.noise.verdict import UNAFFECTED_BY_ROUNDING, apply_noise
from harness.execution.parent.progress import bars
from harness.execution.parent.runner import Run, run_all
from harness.results.noise import Noise
from harness.results.record import RunRecord
from harness.spec.case import RunSpec
from studies.noise_loops.plan import Group, plan_clean, plan_faults
from studies.study import write_result


def _nearest(noise: Noise) -> tuple[float, str]:
    """The largest difference relative to its bound, and its field."""
    return max((abs(f.difference) / f.threshold, f.tensor or f.field) for f in noise.fields)


def clean_rows(groups: list[Group], records: dict[str, RunRecord]) -> list[dict[str, Any]]:
    """One row per pair: outcome, doubts, and its largest difference relative to a bound."""
    rows = []
    for group in groups:
        reference = records[f"{group.name}/reference"]
        band = NoiseBand(reference, [records[draw] for draw in group.draws], group.rounding)
        for name in group.candidates:
            bitwise = compare(reference, records[name], ("reference", name))
            found = apply_noise(bitwise, reference, records[name], band)
            share, field = _nearest(found.noise) if found.noise else (0.0, "")
            rows.append(
                {
                    "pair": name,
                    "outcome": found.outcome,
                    "share_of_bound": share,
                    "field": field,
                    "doubts": found.doubts,
                }
            )
    return rows


def fault_rows(
    planned: list[tuple[Group, dict[str, str]]], records: dict[str, RunRecord]
) -> list[dict[str, Any]]:
    """One row per fault: its true size relative to the bounds, and its outcome."""
    rows = []
    for group, titles in planned:
        reference = records[f"{group.name}/reference"]
        clean = records[f"{group.name}/reference-fp64"]
        band = NoiseBand(reference, [records[draw] for draw in group.draws], group.rounding)
        for run, title in titles.items():
            bitwise = compare(reference, records[run], ("reference", title))
            noise = band.compare(reference, records[run])
            true = band.compare(clean, records[f"{run}-fp64"])
            # Neither run belongs to the noise band, which then has wider bounds.
            size = _nearest(true)[0] * math.sqrt(2)
            seen, field = _nearest(noise)
            moved = next(f for f in true.fields if f.field == "weights")
            rows.append(
                {
                    "fault": title,
                    "true_share_of_bound": size,
                    "true_field": _nearest(true)[1],
                    "true_share_of_movement": moved.relative,
                    "above": size > 1 and bitwise.outcome != "identical",
                    "bitwise": bitwise.outcome,
                    "outcome": noise.outcome,
                    "share_of_bound": seen,
                    "field": field,
                    "beyond": [f.field for f in noise.fields if f.outcome == "different"],
                    "also_seen_by": [
                        s.stage
                        for s in bitwise.stages
                        if s.differing and s.stage in UNAFFECTED_BY_ROUNDING
                    ],
                    "smallest_visible": {f.field: f.smallest_visible for f in noise.fields},
                }
            )
    return rows


def _tables(clean: list[dict[str, Any]], faults: list[dict[str, Any]], console: Console) -> None:
    table = Table(
        "group", "pairs", "within_noise", "inconclusive", "different", "identical", "nearest"
    )
    for name in dict.fromkeys(row["pair"].partition("/")[0] for row in clean):
        rows = [row for row in clean if row["pair"].startswith(f"{name}/")]
        counts = [
            str(sum(row["outcome"] == outcome for row in rows))
            for outcome in ("within_noise", "inconclusive", "different", "identical")
        ]
        near = max(rows, key=lambda row: row["share_of_bound"])
        table.add_row(
            name, str(len(rows)), *counts, f"{near['share_of_bound']:.2f} {near['field']}"
        )
    console.print(table)
    second = Table(
        "fault", "true size / bound", "of movement", "measured / bound", "outcome", "also seen by"
    )
    for row in faults:
        second.add_row(
            row["fault"],
            f"{row['true_share_of_bound']:.2g} {row['true_field']}",
            f"{row['true_share_of_movement'] or 0:.2g}",
            f"{row['share_of_bound']:.2g} {row['field']}",
            row["outcome"] if row["bitwise"] != "identical" else "identical, bit for bit",
            ", ".join(row["also_seen_by"]),
        )
    console.print(second)


def main(
    draws: Annotated[int, typer.Option(min=4, help="Draws of each reference.")] = 8,
    seed: Annotated[
        int, typer.Option(help="Seed of the first reference; the others follow.")
    ] = 100,
    out: Annotated[Path, typer.Option(help="A new folder for records and result.")] = Path(
        "reports/noise-envelope"
    ),
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time.")] = 2,
) -> None:
    """Train clean and faulty pairs, count the outcomes, and write result.json."""
    started = time.monotonic()
    specs: dict[str, RunSpec] = {}
    groups = plan_clean(specs, draws, seed)
    planned = plan_faults(specs, draws, seed, out / "loops")
    runs = [Run(spec, out / "records" / name) for name, spec in specs.items()]
    with bars(runs, Console(stderr=True), experiments=True) as on_event:
        made = run_all(runs, jobs, on_event)
    records = dict(zip(specs, made, strict=True))
    clean, faults = clean_rows(groups, records), fault_rows(planned, records)
    console = Console(width=140)
    _tables(clean, faults, console)
    inexact = [row for row in clean if row["outcome"] != "identical"]
    alarms = [row["pair"] for row in inexact if row["outcome"] == "different"]
    above = [row for row in faults if row["above"]]
    inert = [row["fault"] for row in faults if row["bitwise"] == "identical"]
    unseen = [row["fault"] for row in above if row["outcome"] != "different"]
    passed = sum(row["outcome"] == "within_noise" for row in inexact)
    console.print(
        f"{len(inexact)} clean pairs that are not identical: {passed} within noise, "
        f"{len(alarms)} called different, {len(inexact) - passed - len(alarms)} inconclusive\n"
        f"{len(faults)} faults: {len(above)} above the smallest visible, of which "
        f"{len(above) - len(unseen)} are called different; {len(inert)} have no effect, bit for "
        f"bit; {len(faults) - len(above) - len(inert)} below"
    )
    for title, names in (("FALSE ALARM", alarms), ("MISSED", unseen)):
        for name in names:
            console.print(f"{title} {name}", markup=False)
    result = {
        "draws": draws,
        "seed": seed,
        "wall_s": time.monotonic() - started,
        "clean_pairs": len(inexact),
        "false_alarms": alarms,
        "unseen": unseen,
        "clean": clean,
        "faults": faults,
    }
    write_result(out, result)
    sys.exit(1 if alarms or unseen or len(inexact) < 100 else 0)


if __name__ == "__main__":
    typer.run(main)
