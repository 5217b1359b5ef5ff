"""What must hold on a GPU: pairs that are identical, within noise, or different where planted.

Each check takes a device, so that the tests can try it on a CPU, and returns its figures. `holds`
is true only if everything that the check names was trained and compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.comparison.noise.case_noise import CaseNoise
from harness.comparison.pairs import compare_pair
from harness.execution.parent.runner import Run, run_all
from harness.results.comparison import Comparison
from harness.results.record import HEADER, RunRecord
from harness.spec import registry
from harness.spec.case import Case, RunSpec, label
from harness.spec.expand import draw_specs, expand_by_device
from harness.spec.recipe import Device
from harness.spec.suites import SUITES
from tests.faults.fault import Fault
from tests.faults.mutations import path_of
from tests.faults.planted import FAULTS
from tests.support.small_runs import write_pairs

__all__ = ["cpu_against_device", "faults", "loops", "matrix", "precisions", "resumed"]

_LOOPS = ("plain", "accelerated", "trainer")
_DRAWS = 8
_COMMON = 10

Figures = dict[str, Any]


def loops(device: Device, folder: Path, jobs: int, steps: int = 20) -> Figures:
    """The three loops on the embedded case are identical."""
    case = _case(device, max_steps=steps)
    specs = [registry.run_spec(case, loop) for loop in _LOOPS]
    return _agreeing({"paraphrase": specs}, folder, jobs)


def precisions(device: Device, folder: Path, jobs: int, steps: int = 10) -> Figures:
    """Two loops are identical in fp16, in bf16 and compiled."""
    settings = {"fp16": {"precision": "fp16"}, "bf16": {"precision": "bf16"}}
    cases = {**settings, "compiled": {"compile": "inductor"}}
    plans = {
        name: [
            registry.run_spec(_case(device, max_steps=steps, **changed), loop)
            for loop in _LOOPS[:2]
        ]
        for name, changed in cases.items()
    }
    return _agreeing(plans, folder, jobs)


def resumed(device: Device, folder: Path, jobs: int, steps: int = 8) -> Figures:
    """A run that was killed and resumed is identical with the whole run, for each loop."""
    case = _case(device, max_steps=steps, save_every=2)
    plans = {
        loop: [registry.run_spec(case, loop), registry.run_spec(case, loop, resume_at=steps // 2)]
        for loop in _LOOPS
    }
    return _agreeing(plans, folder, jobs)


def matrix(device: Device, folder: Path, jobs: int) -> Figures:
    """Every case of the matrix, by three loops; notes of a case excuse its known differences."""
    plans = {
        case.name: [
            registry.run_spec(case.model_copy(update={"device": device}), loop) for loop in _LOOPS
        ]
        for case in SUITES["matrix"]()
        if not case.note
    }
    return _agreeing(plans, folder, jobs)


def cpu_against_device(device: Device, folder: Path, jobs: int, steps: int = 20) -> Figures:
    """With numbers of the host, only rounding is left; a learning rate off by 1% is more."""
    case = _case("cpu", max_steps=steps).model_copy(update={"noise": _DRAWS})
    here, there = expand_by_device(case, ["cpu", device])
    rate = 1.01 * case.recipe.learning_rate
    faulty = there.model_copy(
        update={
            "name": f"{there.name}-faulty",
            "recipe": there.recipe.model_copy(update={"learning_rate": rate}),
        }
    )
    specs = [registry.run_spec(one, "plain", sketch=True) for one in (here, there, faulty)]
    first, sound, wrong, *draws = _trained([*specs, *draw_specs(specs[:1])], folder, jobs)
    noise = CaseNoise(first, [draw for draw in draws if draw is not None])
    found = {
        name: compare_pair("paraphrase", ("cpu", device), (first, record), noise).outcome
        for name, record in (("sound", sound), ("learning rate off by 1%", wrong))
    }
    holds = found["sound"] in ("identical", "within_noise")
    return {**found, "holds": holds and found["learning rate off by 1%"] == "different"}


def faults(device: Device, folder: Path, jobs: int, count: int = _COMMON) -> Figures:
    """The first faults of the table that change one loop on the embedded case are found."""
    data = write_pairs(folder / "data")
    chosen = [fault for fault in FAULTS if _is_simple(fault)][:count]
    plans = {}
    for fault in chosen:
        case = fault.ground.case(data).model_copy(update={"device": device})
        plans[fault.name] = [registry.run_spec(case, path_of(n)) for n in ("plain", fault.loop)]
    found = _compared(plans, folder, jobs)
    rows = {}
    for fault in chosen:
        first = found[fault.name][0].first_divergence
        rows[fault.name] = {
            "expected": [fault.step, fault.stage],
            "found": None if first is None else [first.step, first.stage],
        }
    right = sum(row["expected"] == row["found"] for row in rows.values())
    return {"faults": rows, "at their place": right, "holds": right == len(rows) == count}


def _is_simple(fault: Fault) -> bool:
    """Whether it is one loop of one process that differs from the plain one."""
    ground = fault.ground
    simple = ground.world_size == 1 and ground.resume_at is None and not fault.environment
    return simple and ground.reference == "plain" and ground.workload == "paraphrase"


def _case(device: Device, **settings: Any) -> Case:
    case = registry.with_settings(registry.cases()["paraphrase"], settings)
    return case.model_copy(update={"device": device})


def _trained(specs: Sequence[RunSpec], folder: Path, jobs: int) -> list[RunRecord | None]:
    runs = [Run(spec, folder / spec.case.name / label(spec)) for spec in specs]
    return list(run_all(runs, jobs, lambda _number, _event: None, keep_going=True))


def _compared(
    plans: Mapping[str, Sequence[RunSpec]], folder: Path, jobs: int
) -> dict[str, list[Comparison]]:
    """The comparisons of the first run of each plan with its others, by the name of the plan."""
    runs = {
        name: [Run(spec, folder / name / label(spec)) for spec in specs]
        for name, specs in plans.items()
    }
    every = [run for several in runs.values() for run in several]
    run_all(every, jobs, lambda _number, _event: None, keep_going=True)
    found = {}
    for name, (first, *others) in runs.items():
        records = [
            RunRecord(run.folder) if (run.folder / HEADER).is_file() else None
            for run in (first, *others)
        ]
        found[name] = [
            compare_pair(name, (label(first.spec), label(run.spec)), (records[0], record))
            for run, record in zip(others, records[1:], strict=True)
        ]
    return found


def _agreeing(plans: Mapping[str, Sequence[RunSpec]], folder: Path, jobs: int) -> Figures:
    """Whether all runs of each plan are identical, and which are not."""
    pairs = [pair for found in _compared(plans, folder, jobs).values() for pair in found]
    others = [
        f"{pair.case}: {pair.candidate} {pair.outcome}: "
        f"{pair.first_divergence or '; '.join(pair.doubts)}"
        for pair in pairs
        if pair.outcome != "identical"
    ]
    expected = sum(len(specs) - 1 for specs in plans.values())
    holds = len(pairs) == expected > 0 and not others
    return {"pairs": len(pairs), "not identical": others, "holds": holds}
