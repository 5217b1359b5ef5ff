"""A recipe also takes the names that users of `TrainingArguments` know."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from harness.errors import SpecError
from harness.spec.aliases import ALIASES, canonical_fields
from harness.spec.recipe import Recipe
from harness.spec.registry import case_from_file, cases, run_spec, with_settings

CASE = cases()["paraphrase"]
VALUES = {
    "num_train_epochs": "2",
    "per_device_train_batch_size": "4",
    "per_device_eval_batch_size": "5",
    "dataloader_drop_last": "true",
    "dataloader_num_workers": "1",
    "label_smoothing_factor": "0.1",
    "adam_epsilon": "1e-6",
    "lr_scheduler_type": "cosine",
    "eval_steps": "7",
    "save_steps": "9",
    "torch_compile_backend": "inductor",
}


def test_every_alias_is_tried() -> None:
    """The table of this test has each of them, and they lead to different fields."""
    assert set(ALIASES) == set(VALUES)
    assert len(set(ALIASES.values())) == len(ALIASES)
    assert set(ALIASES.values()) <= set(Recipe.model_fields)
    assert not set(ALIASES) & set(Recipe.model_fields)


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_sets_its_field(alias: str) -> None:
    """Exactly as the recipe's own name does; the default, for control, is another value."""
    value = VALUES[alias]
    recipe = with_settings(CASE, {alias: value}).recipe
    assert with_settings(CASE, {ALIASES[alias]: value}).recipe == recipe
    assert recipe != CASE.recipe


def test_a_file_holds_the_name_of_the_recipe(tmp_path: Path) -> None:
    """Also where the case was written with the other one."""
    path = tmp_path / "mine.toml"
    path.write_text("[recipe]\nnum_train_epochs = 2\n")
    stored = case_from_file(path).model_dump_json()
    assert '"num_epochs":2' in stored
    assert "num_train_epochs" not in stored


def test_arms_and_overrides_take_them_too() -> None:
    """They are fields of the recipe as well."""
    case = CASE.model_copy(
        update={
            "arms": {"short": {"num_train_epochs": 1}},
            "overrides": {"trainer": {"adam_epsilon": 1e-6}},
        }
    )
    assert 1 == run_spec(case, "plain", arm="short").recipe.num_epochs
    assert 1e-6 == run_spec(case, "trainer").recipe.eps


def test_constant_with_warmup_is_called_constant_here() -> None:
    """The recipe's constant schedule has the warm-up of the recipe."""
    assert {"lr_schedule": "constant"} == canonical_fields(
        {"lr_scheduler_type": "constant_with_warmup"}
    )


def test_both_names_at_once_are_refused() -> None:
    """One line that names both."""
    with pytest.raises(SpecError, match="num_epochs and num_train_epochs"):
        with_settings(CASE, {"num_epochs": 1, "num_train_epochs": 2})


@pytest.mark.slow
def test_the_trainer_knows_these_names() -> None:
    """They are fields of `TrainingArguments`."""
    from transformers import TrainingArguments

    assert set(ALIASES) <= {field.name for field in fields(TrainingArguments)}
