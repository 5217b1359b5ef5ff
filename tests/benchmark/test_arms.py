"""Which arms a command asks for, and what is refused in a line."""

import sys

import pytest

from harness.benchmark.arms import STEPS_AHEAD, arms_of, arms_with_libraries
from harness.errors import SpecError
from harness.execution.environments.interpreter import Libraries
from harness.execution.environments.variants import LibrarySet
from harness.spec import registry

CASE = registry.cases()["paraphrase"]


def test_arms_are_the_loops_with_a_control_of_the_first() -> None:
    """The control equals the reference except for its name; no arm evaluates or saves."""
    case = registry.with_settings(CASE, {"eval_every": 5, "save_every": 5, "max_steps": 9})
    arms = arms_of(case, ["plain", "trainer", "plain"], "matched")

    assert ["plain", "control", "trainer", "plain-2"] == [arm.name for arm in arms]
    assert arms[0].spec == arms[1].spec
    recipe = arms[2].spec.recipe
    assert (None, None, STEPS_AHEAD) == (recipe.eval_every, recipe.save_every, recipe.max_steps)


def test_an_arm_may_follow_another_recipe_thread_count_or_python() -> None:
    """Its fields do not change other arms."""
    python = sys.executable
    extra = ["two-threads=plain,num_threads=2", f"seen=trainer,observe=trace,python={python}"]
    arms = {arm.name: arm for arm in arms_of(CASE, ["plain"], "matched", extra)}

    assert 2 == arms["two-threads"].spec.recipe.num_threads
    assert 1 == arms["plain"].spec.recipe.num_threads
    assert ("trace", sys.executable) == (arms["seen"].observe, arms["seen"].python)
    assert "transformers" in (arms["seen"].libraries or "")


def test_a_loop_with_several_libraries_is_an_arm_for_each() -> None:
    """The first is the reference and its own control; all are started in the same way."""
    here, there = Libraries(None, {"torch": "2.13.0+cpu"}), Libraries("/py", {"torch": "2.8.0"})
    sides = [LibrarySet("torch 2.13.0+cpu", here), LibrarySet("torch 2.8.0", there)]
    arms = arms_with_libraries(CASE, "plain", "matched", sides)

    assert ["torch-2.13.0-cpu", "control", "torch-2.8.0"] == [arm.name for arm in arms]
    assert [sys.executable, sys.executable, "/py"] == [arm.python for arm in arms]
    assert {f"{CASE.name}-plain"} == {arm.spec.case.name for arm in arms}
    assert "/py" not in arms[2].spec.model_dump_json()


def test_an_arm_may_follow_a_named_recipe_and_be_traced_in_less_detail() -> None:
    """Fields given with a named recipe override it."""
    extra = ["quick=plain,recipe=fast,compile=none", "seen=plain,observe=trace,detail=weights"]
    arms = {arm.name: arm for arm in arms_of(CASE, ["plain"], "matched", extra)}

    quick = arms["quick"].spec.recipe
    assert ("bf16", "length_grouped", None) == (quick.precision, quick.sampler, quick.compile)
    assert quick.per_device_batch_size > arms["plain"].spec.recipe.per_device_batch_size
    assert ("weights", "full") == (arms["seen"].spec.detail, arms["plain"].spec.detail)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("plain,num_threads=2", "NAME=LOOP"),
        ("a=plain,num_threads", "needs a value"),
        ("a=plain,num_thread=2", "num_threads"),
        ("a=plain,observe=traces", "did you mean 'trace'"),
        ("a=plain,detail=weight", "did you mean 'weights'"),
        ("a=plain,recipe=fats", "did you mean 'fast'"),
        ("a=plane", "did you mean 'plain'"),
        ("a/b=plain", "letters, digits"),
        ("plain=plain", "name of its own|own name"),
        ("a=plain,python=/no/such/python", "takes an interpreter"),
    ],
)
def test_what_is_wrong_is_refused_in_a_line(extra: str, message: str) -> None:
    """The rule, the value met, the remedy."""
    with pytest.raises(SpecError, match=message):
        arms_of(CASE, ["plain"], "matched", [extra])


def test_several_processes_are_refused() -> None:
    """A bench of several ranks would time the slowest; it is not supported."""
    with pytest.raises(SpecError, match="one process"):
        arms_of(CASE.model_copy(update={"world_size": 2}), ["plain"], "matched")
