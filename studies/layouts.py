"""Shows that digests do not depend on the layout of a model, and that faults of layouts are found.

    python -m studies.layouts --out FOLDER

One small model is trained alone and by two or four gloo processes: DDP, FSDP2, tensor parallel,
both, and HSDP. Its numbers are chosen so that no sum is rounded, so every layout must give the same
bits. Each process digests its share and sends nothing; the records are compared with that of the
process that trains alone, over 20 steps and 10 seeds. Then faults are planted, and each is compared
with the sound run of its layout: the step, the stage, the tensor and the rank must be those of the
fault. The bytes that processes send are counted with and without the trace.

Published: `reports/published/layouts`. The exit code is 1 if a sound pair is not identical or a
fault is not found at its place.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console

from harness.comparison.compare import compare
from harness.execution.command.parts import gather, parts_in
from harness.results.comparison import Comparison
from harness.results.record import RunRecord
from harness.spec.command import CommandSpec
from studies.layout_scripts.faults import FAULTS, Fault
from studies.study import write_result

__all__ = ["LAYOUTS", "Training", "found_at_its_place", "made"]

LAYOUTS = {"alone": 1, "ddp": 2, "fsdp2": 2, "tp": 2, "fsdp2-tp": 4, "hsdp": 4}
"""Processes of each layout."""
_STEPS, _STEPS_OF_FAULTS, _SEEDS = 20, 5, 10
_UNCHANGED = "ROWS, WIDTH = 16, 8\n"
_LIMIT_S = 600


@dataclass(frozen=True)
class Training:
    """One training of `layout_scripts/train.py`."""

    name: str
    layout: str
    kind: str = "exact"
    steps: int = _STEPS
    seed: int = 3
    old: str = _UNCHANGED
    new: str = _UNCHANGED
    traced: bool = True


def of_fault(fault: Fault) -> Training:
    """The training with a fault."""
    return Training(
        fault.name,
        fault.layout,
        fault.kind,
        _STEPS_OF_FAULTS,
        old=fault.old,
        new=fault.new,
    )


def sound_of(fault: Fault) -> Training:
    """The training without it."""
    name = f"{fault.layout} {fault.kind} without a fault"
    return Training(name, fault.layout, fault.kind, _STEPS_OF_FAULTS)


def made(trainings: Sequence[Training], out: Path) -> dict[str, Path]:
    """Make trainings of one layout in one group of processes; their folders, by name."""
    folders = {each.name: out / f"{number:02}" for number, each in enumerate(trainings)}
    plan = [asdict(each) | {"folder": str(folders[each.name].absolute())} for each in trainings]
    path = out / "plan.json"
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(plan), encoding="utf-8")
    words = [sys.executable, "-m", "studies.layout_scripts.worker", str(path.absolute())]
    count = LAYOUTS[trainings[0].layout]
    if count > 1:
        run = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        words = [*run, "--nproc-per-node", str(count), *words[1:]]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    root = Path(__file__).parents[1]
    subprocess.run(words, cwd=root, env=environment, check=True, timeout=_LIMIT_S)
    return folders


def record_in(folder: Path) -> RunRecord:
    """The record of the processes that trained together in a folder."""
    if not (folder / "records").is_dir():
        (folder / "records").mkdir()
        gather(parts_in(folder), folder / "records", CommandSpec(name="training"))
    return RunRecord(folder / "records" / "training")


def compared(one: Path, two: Path) -> Comparison:
    """The comparison of two trainings."""
    return compare(record_in(one), record_in(two), ("reference", "candidate"))


def found_at_its_place(fault: Fault, found: Comparison) -> bool:
    """Whether the first divergence is where the fault is."""
    first = found.first_divergence
    if first is None or found.outcome != "different":
        return False
    place = (first.step, first.stage, first.tensor, first.rank)
    return place == (fault.step, fault.stage, fault.tensor, fault.rank)


def sent(folder: Path) -> list[int]:
    """Bytes that each process handed to collective operations."""
    return [int(path.read_text()) for path in sorted(folder.glob("sent-*.txt"))]


def main(
    out: Annotated[Path, typer.Option(help="The folder for the records and the result.")],
    seeds: Annotated[int, typer.Option(help="Trainings of each layout.")] = _SEEDS,
) -> None:
    """Train in each layout, with and without faults, and compare."""
    console = Console()
    folders: dict[tuple[str, str], Path] = {}
    for layout in LAYOUTS:
        sound = [Training(f"seed {seed}", layout, seed=seed) for seed in range(seeds)]
        silent = [Training("not traced", layout, seed=0, traced=False)]
        faults = [fault for fault in FAULTS if fault.layout == layout]
        references = list(dict.fromkeys(map(sound_of, faults)))
        plan = [*sound, *silent, *references, *map(of_fault, faults)]
        names = made(plan, out / layout)
        folders |= {(layout, name): folder for name, folder in names.items()}
        console.print(f"{layout}: {len(plan)} trainings", markup=False)

    pairs, alarms = [], []
    tensors = 0
    for layout in LAYOUTS:
        for seed in range(seeds if layout != "alone" else 0):
            name = f"seed {seed}"
            found = compared(folders["alone", name], folders[layout, name])
            if found.outcome != "identical":
                alarms.append(f"{layout}, {name}: {found.outcome}, {found.first_divergence}")
            tensors += len(record_in(folders[layout, name]).tensors)
            pairs.append(found.outcome)
    bytes_of = {
        layout: {
            "traced": sent(folders[layout, "seed 0"]),
            "not traced": sent(folders[layout, "not traced"]),
        }
        for layout in LAYOUTS
        if layout != "alone"
    }
    rows: list[dict[str, Any]] = []
    for fault in FAULTS:
        reference = folders[fault.layout, sound_of(fault).name]
        found = compared(reference, folders[fault.layout, fault.name])
        first = found.first_divergence
        seen = first and [first.step, first.stage, first.tensor, first.rank]
        rows.append(
            {
                "fault": fault.name,
                "expected": [fault.step, fault.stage, fault.tensor, fault.rank],
                "found": seen,
                "at its place": found_at_its_place(fault, found),
            }
        )
        console.print(rows[-1], markup=False)
    by_probe = {
        layout: [one - two for one, two in zip(*counts.values(), strict=True)]
        for layout, counts in bytes_of.items()
    }
    result = {
        "torch": torch.__version__,
        "steps": _STEPS,
        "sound pairs": len(pairs),
        "sound pairs that are identical": pairs.count("identical"),
        "digests of gradients, of weights and of states compared, each": tensors,
        "alarms": alarms,
        "bytes sent by the probe, by rank": by_probe,
        "bytes sent in a training of that length, by rank": {
            layout: counts["not traced"] for layout, counts in bytes_of.items()
        },
        "faults": rows,
        "faults at their place": sum(row["at its place"] for row in rows),
    }
    write_result(out, result)
    console.print(
        f"{pairs.count('identical')} of {len(pairs)} sound pairs identical; "
        f"{result['faults at their place']} of {len(rows)} faults at their place"
    )
    if alarms or not all(row["at its place"] for row in rows):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
