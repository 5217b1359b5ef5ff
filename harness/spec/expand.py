"""One case becomes several: for each device, set of libraries or seed, or as perturbed draws."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from harness.errors import SpecError
from harness.spec.case import Case, Perturbation, RunSpec, slug
from harness.spec.recipe import Recipe, build

__all__ = [
    "Rounding",
    "draw_specs",
    "expand_by_device",
    "expand_by_libraries",
    "expand_by_seed",
    "is_variant",
    "rounding_between",
    "variant_of",
]


def expand_by_device(case: Case, devices: Iterable[str]) -> list[Case]:
    """`case` on each device.

    All take the digests that a device can take, because the host's digests are other numbers. The
    numbers that the model draws come from the host, because each device has other ones; not if the
    model is compiled, which draws inside its kernels.
    """
    recipe = case.recipe
    if recipe.compile is None:
        recipe = build(Recipe, {**recipe.model_dump(), "random_numbers": "host"})
    return [
        case.model_copy(
            update={
                "name": f"{case.name}-{name}",
                "device_of": case.name,
                "device": name,
                "digests": "device",
                "recipe": recipe,
            }
        )
        for name in devices
    ]


def expand_by_libraries(case: Case, names: Iterable[str]) -> list[Case]:
    """`case` with each set of libraries, by the names of the sets."""
    return [
        case.model_copy(
            update={
                "name": f"{case.name}-{slug(name)}",
                "libraries_of": case.name,
                "libraries": name,
            }
        )
        for name in names
    ]


def is_variant(case: Case) -> bool:
    """Whether its loops are compared with themselves on another variant, not with each other."""
    return case.device_of is not None or case.libraries_of is not None


def variant_of(case: Case) -> tuple[str, str]:
    """The original case, and the device or libraries of this variant; empty for other cases."""
    if case.libraries_of is not None:
        return case.libraries_of, f"with {case.libraries}"
    return (case.device_of, f"on {case.device}") if case.device_of is not None else ("", "")


def expand_by_seed(case: Case, count: int) -> list[Case]:
    """`case` with its own seed and the `count - 1` after it.

    Raises `SpecError` if a seed is too large for a recipe.
    """
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
    """Perturbed runs of the first spec, which measure the noise band of its pairs with the others.

    A variant on a device has pairs with the other devices. Empty if the case has no noise, or if
    there is no pair. Raises `SpecError` if the reference cannot be perturbed in the way that a pair
    needs.
    """
    reference, *others = specs
    if reference.case.noise is None:
        return []
    kinds = dict.fromkeys(rounding_between(reference, other) for other in others)
    if reference.case.device_of is not None:
        kinds = {_rounding({reference.recipe.precision}, same_kernels=False): None}
    if "bf16" in kinds and reference.recipe.compile is not None:
        raise SpecError(
            "the noise band of bf16 needs a first loop that is not compiled",
            f"compile={reference.recipe.compile}",
            "set compile=none, and compile an arm",
        )
    return [
        reference.model_copy(update={"perturbation": Perturbation(draw=draw, rounding=kind)})
        for kind in kinds
        if kind is not None
        for draw in range(1, reference.case.noise + 1)
    ]


def rounding_between(one: RunSpec, two: RunSpec) -> Rounding | None:
    """The perturbation that measures the noise between two runs; None: there is none for them.

    Under autocast, other kernels round in the low precision. Moving weights by one unit in the last
    place of fp32 shows almost nothing of that: measured in bf16, eager attention differed from SDPA
    by 63 times the bound that such draws gave.
    """
    kernels = [
        (spec.recipe.attention, spec.recipe.compile, spec.case.device) for spec in (one, two)
    ]
    return _rounding({one.recipe.precision, two.recipe.precision}, kernels[0] == kernels[1])


def _rounding(precisions: set[str], same_kernels: bool) -> Rounding | None:
    if precisions == {"fp32"} or (len(precisions) == 1 and same_kernels):
        return "weights"
    return "bf16" if precisions <= {"fp32", "bf16"} else None
