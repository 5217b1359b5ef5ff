"""The same loop on several devices: one case becomes one for each, and each loop is compared with
itself on the first.

Both sides take the digests that a device can take, since those of the host are other numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.compare import Comparison, compare, missing
from harness.errors import SpecError, unknown_name
from harness.metrics import Margin
from harness.record import RunRecord
from harness.seeds import compare_seeds
from harness.spec import DEVICES, Case

__all__ = ["compare_devices", "one_case_a_device"]


def one_case_a_device(case: Case, devices: Iterable[str]) -> list[Case]:
    """`case` on each of two devices or more. Raises `SpecError`."""
    names = list(devices)
    for name in names:
        if name not in DEVICES:
            raise unknown_name("device", name, DEVICES)
    if len(set(names)) < 2 or len(set(names)) < len(names):
        rule = "--devices takes two different devices or more"
        raise SpecError(rule, ",".join(names) or "none", "pass --devices cpu,cuda")
    return [
        case.model_copy(
            update={
                "name": f"{case.name}-{name}",
                "device_of": case.name,
                "device": name,
                "digests": "device",
            }
        )
        for name in names
    ]


def compare_devices(
    runs: Iterable[tuple[str, Case, RunRecord | None]], margins: Mapping[str, Margin]
) -> list[Comparison]:
    """One comparison for each loop, case, and device but the first; other cases are left out.

    `runs`: what each is called within its case, its case, and its record where it left one.
    """
    loops: dict[tuple[str, str], dict[str, dict[int, RunRecord | None]]] = {}
    seeded = set()
    for label, case, record in runs:
        if case.device_of is not None:
            sides = loops.setdefault((case.device_of, label), {})
            sides.setdefault(case.device, {})[case.recipe.seed] = record
            if case.seed_of is not None:
                seeded.add(case.device_of)
    return [
        _pair(case, (f"{label} on {first}", f"{label} on {device}"), sides, case in seeded, margins)
        for (case, label), on in loops.items()
        for (first, reference), *others in [list(on.items())]
        for device, candidate in others
        for sides in [(reference, candidate)]
    ]


def _pair(
    case: str,
    labels: tuple[str, str],
    sides: tuple[Mapping[int, RunRecord | None], Mapping[int, RunRecord | None]],
    seeded: bool,
    margins: Mapping[str, Margin],
) -> Comparison:
    found: list[dict[int, RunRecord]] = [{}, {}]
    for label, side, there in zip(labels, sides, found, strict=True):
        for seed, record in side.items():
            if record is None:
                return missing(case, *labels, f"{label} is missing; run it")
            there[seed] = record
    if seeded:
        return compare_seeds(case, labels, found[0], found[1], margins)
    (one,), (two,) = found[0].values(), found[1].values()
    return compare(one, two, labels).model_copy(update={"case": case})
