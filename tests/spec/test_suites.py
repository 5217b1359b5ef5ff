"""The matrix covers the recipe's width and says what is known to differ; noise is rounding."""

from __future__ import annotations

from harness.spec.case import LEAST_DRAWS
from harness.spec.recipe import Recipe
from harness.spec.registry import run_spec
from harness.spec.suites import SUITES

CASES = [case for make in SUITES.values() for case in make()]
# Fields that no case of the matrix varies, each for a reason.
APART = {
    "seed",  # another draw of the same thing
    "reseed_after_build",  # a habit of native conventions; the Trainer always does
    "eval_batch_size",  # the same for all loops, after training
    "momentum",  # a number within SGD, as eps and betas are within AdamW
    "num_epochs",  # two everywhere, so that there is an epoch's end amid the run
}


def test_the_matrix_is_wide() -> None:
    """At least 40 cases, each with a name of its own, as in every suite."""
    assert len(SUITES["matrix"]()) >= 40
    for make in SUITES.values():
        names = [case.name for case in make()]
        assert len(set(names)) == len(names) > 0


def test_every_field_of_the_recipe_is_varied_by_some_case() -> None:
    """A field that is added to the recipe gets a case, or a reason why not."""
    default = Recipe()
    varied = {
        name
        for case in CASES
        for name in Recipe.model_fields
        if getattr(case.recipe, name) != getattr(default, name)
        or any(name in own for own in case.overrides.values())
    }
    assert Recipe.model_fields.keys() - varied == APART - varied
    assert "gradient_accumulation_steps" in varied


def test_what_sets_loops_apart_is_explained() -> None:
    """A case in which one loop departs from the recipe carries a note with what was measured."""
    for case in CASES:
        if case.overrides:
            assert "Measured:" in case.note, case.name
    assert any(case.overrides for case in CASES)


def test_the_noise_suite_changes_nothing_but_rounding() -> None:
    """Each case has one arm of a field by which only roundings change, and draws to judge it by."""
    rounds = {"optimizer_flavour", "num_threads", "attention", "compile", "precision"}
    changed = set()
    for case in SUITES["noise"]():
        (arm,) = case.arms
        fields = {
            name
            for name in Recipe.model_fields
            if getattr(run_spec(case, "plain", arm=arm).recipe, name) != getattr(case.recipe, name)
        }
        assert 1 == len(fields), case.name
        assert (case.noise or 0) >= LEAST_DRAWS
        changed |= fields
    assert rounds == changed
