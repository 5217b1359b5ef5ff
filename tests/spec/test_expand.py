"""One case becomes one for each device, or for each seed."""

from __future__ import annotations

import pytest

from harness.errors import SpecError
from harness.execution.parent.plan import plan
from harness.spec.case import Case
from harness.spec.expand import expand_by_device, expand_by_seed
from harness.spec.recipe import Recipe
from harness.spec.request import RunRequest

CASE = Case(name="tiny", workload="paraphrase", recipe=Recipe(max_steps=6))


def test_one_case_becomes_one_for_each_device() -> None:
    """They have names of their own, and digests that can be compared."""
    found = expand_by_device(CASE, ["cpu", "cuda"])
    assert ["tiny-cpu", "tiny-cuda"] == [case.name for case in found]
    assert ["cpu", "cuda"] == [case.device for case in found]
    assert {("device", "tiny")} == {(case.digests, case.device_of) for case in found}
    assert {"host"} == {case.recipe.random_numbers for case in found}
    compiled = CASE.model_copy(update={"recipe": Recipe(compile="eager")})
    kept = {case.recipe.random_numbers for case in expand_by_device(compiled, ["cpu", "cuda"])}
    assert {"device"} == kept


@pytest.mark.parametrize(("precision", "rounding"), [("fp32", "weights"), ("bf16", "bf16")])
def test_the_noise_between_devices_is_drawn_on_the_first(precision: str, rounding: str) -> None:
    """One loop has a pair there. Other kernels round in the precision of autocast."""
    settings = {"precision": precision}
    request = RunRequest(loops=["plain"], devices=("cpu", "cuda"), noise=4, settings=settings)
    planned = plan(request)
    drawn = [spec for spec in planned if spec.perturbation is not None]
    assert [("cpu", rounding)] * 4 == [
        (spec.case.device, spec.perturbation.rounding) for spec in drawn if spec.perturbation
    ]
    assert ["cpu", "cuda"] == [s.case.device for s in planned if s.perturbation is None]
    assert all(spec.sketch for spec in planned)


def test_one_case_becomes_one_for_each_seed() -> None:
    """Seeds follow the recipe's; the order of the rows follows unless it has a seed of its own."""
    case = Case(name="tiny", workload="paraphrase", recipe=Recipe(seed=7, data_seed=3, max_steps=2))
    found = expand_by_seed(case, 3)

    assert ["tiny-seed7", "tiny-seed8", "tiny-seed9"] == [each.name for each in found]
    assert [(7, 3), (8, 3), (9, 3)] == [(c.recipe.seed, c.recipe.data_seed) for c in found]
    assert {"tiny"} == {each.seed_of for each in found}
    assert all(
        each.recipe.data_seed is None for each in expand_by_seed(Case(name="a", workload="b"), 2)
    )
    with pytest.raises(SpecError, match="seed"):
        expand_by_seed(case.model_copy(update={"recipe": Recipe(seed=2**32 - 1)}), 2)
