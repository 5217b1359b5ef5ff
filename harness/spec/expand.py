"""The same loop on several devices: one case becomes one for each.

Both sides take the digests that a device can take, since those of the host are other numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from harness.errors import SpecError, unknown_name
from harness.spec.case import Case, Perturbation, RunSpec
from harness.spec.recipe import DEVICES, Recipe, build

__all__ = [
    "Rounding",
    "draw_specs",
    "is_one_of_several",
    "one_case_a_device",
    "one_case_a_seed",
    "place_of",
]


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


def is_one_of_several(case: Case) -> bool:
    """Whether its loops are to be compared with themselves elsewhere, and not with each other."""
    return case.device_of is not None or case.libraries_of is not None


def place_of(case: Case) -> tuple[str, str]:
    """The case of which it is one of several, and where or with what it is trained; else empty."""
    if case.libraries_of is not None:
        return case.libraries_of, f"with {case.libraries}"
    return (case.device_of, f"on {case.device}") if case.device_of is not None else ("", "")


def one_case_a_seed(case: Case, count: int) -> list[Case]:
    """`case` with its own seed and the `count - 1` after it. Raises `SpecError`."""
    if count < 2:
        raise SpecError("--seeds takes 2 or more, for one shows no spread", count, "pass --seeds 5")
    first = case.recipe.seed
    return [
        case.model_copy(
            update={
                "name": f"{case.name}-seed{seed}",
                "seed_of": case.name,
                "recipe": build(Recipe, {**case.recipe.model_dump(), "seed": seed}),
            }
        )
        for seed in range(first, first + count)
    ]


Rounding = Literal["weights", "bf16"]


def draw_specs(specs: Sequence[RunSpec]) -> list[RunSpec]:
    """Perturbed runs of the first spec, by which its pairs with the others can be judged.

    Empty where the case asks for none, or there is no pair. Raises `SpecError` where the reference
    cannot be perturbed as that takes.
    """
    reference, *others = specs
    if reference.case.noise is None:
        return []
    kinds = dict.fromkeys(_rounding(reference, other) for other in others)
    if "bf16" in kinds and reference.recipe.compile is not None:
        raise SpecError(
            "bf16 is judged against a first loop that is not compiled",
            f"compile={reference.recipe.compile}",
            "set compile=none, and compile in an arm",
        )
    return [
        reference.model_copy(update={"perturbation": Perturbation(draw=draw, rounding=kind)})
        for kind in kinds
        if kind is not None
        for draw in range(1, reference.case.noise + 1)
    ]


def _rounding(one: RunSpec, two: RunSpec) -> Rounding | None:
    """By which perturbation the noise between two runs is drawn; None: by none that is here.

    Under autocast other kernels round their passes otherwise in the low precision, which a change
    of weights by one ulp of fp32 shows next to nothing of: in bf16, eager attention against SDPA
    stood out of such draws by 63 times their bound.
    """
    precisions = {one.recipe.precision, two.recipe.precision}
    kernels = [(spec.recipe.attention, spec.recipe.compile) for spec in (one, two)]
    if precisions == {"fp32"} or (len(precisions) == 1 and kernels[0] == kernels[1]):
        return "weights"
    return "bf16" if precisions <= {"fp32", "bf16"} else None
