"""The minimal loop computes what the plain loop computes, and refuses every other setting."""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.comparison.compare import compare
from harness.errors import SpecError
from harness.results.comparison import Comparison
from harness.results.record import RunRecord
from harness.spec import registry
from harness.spec.recipe import Recipe, build
from harness.training.loops import minimal
from harness.training.workload import Workload
from tests.support.in_process import train_in_process
from tests.support.small_runs import comparison, small_case, train, write_pairs

SOURCE = Path(minimal.__file__)


@dataclass(frozen=True)
class Change:
    """A value for one field of the recipe other than its default."""

    value: Any
    steps: int = 6
    """Updates in two epochs of 20 rows, at 8 rows a batch."""
    trains_differently: bool = True
    """Whether the weights after training depend on the field."""


# Every field of the recipe. The minimal loop follows those in the first table.
FOLLOWED = {
    "seed": Change(7),
    "reseed_after_build": Change(False),
    "num_epochs": Change(1, steps=3),
    "max_steps": Change(4, steps=4),
    "per_device_batch_size": Change(3, steps=14),
    "eval_batch_size": Change(3, trains_differently=False),
    "gradient_accumulation_steps": Change(2, steps=4),  # 3 batches: windows of 2 and of 1
    "padding": Change("max_length"),
    "max_length": Change(12),
    "extra_padding": Change(5),
    "frozen": Change("bert.embeddings"),
    "learning_rate": Change(1e-3),
    "max_grad_norm": Change(None),
    "attention": Change("eager"),
    "random_numbers": Change("host", trains_differently=False),
    "num_threads": Change(2, trains_differently=False),  # so few rows may round alike
}
REFUSED = {
    "data_seed": 7,
    "loss_average": "configured",
    "drop_last": True,
    "sampler": "sequential",
    "parallel": "fsdp2",
    "sharding": "strided",
    "num_workers": 1,
    "label_smoothing": 0.1,
    "optimizer": "sgd",
    "momentum": 0.5,
    "optimizer_flavour": "foreach",
    "betas": [0.8, 0.95],
    "eps": 1e-6,
    "weight_decay": 0.1,
    "decay_exclusions": "none",
    "lr_schedule": "cosine",
    "warmup_steps": 2,
    "warmup_ratio": 0.25,
    "schedule_per_process": True,
    "eval_every": 2,
    "save_every": 2,
    "precision": "bf16",
    "gradient_checkpointing": True,
    "compile": "eager",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty rows to train on and four to evaluate on."""
    return write_pairs(tmp_path_factory.mktemp("data"), train=20, validation=4)


def trained(loop: str, data: Path, folder: Path, steps: int = 6, **settings: Any) -> RunRecord:
    """The record of `loop` after `steps` updates."""
    spec = registry.run_spec(small_case(data, **settings), loop)
    return train_in_process(spec, folder, steps)


def compared(reference: RunRecord, candidate: RunRecord) -> Comparison:
    """The comparison of what was recorded in training."""
    return compare(reference, candidate, ("reference", "candidate"))


@pytest.fixture(scope="module")
def default(data: Path, tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    """The minimal loop by the default recipe."""
    return trained("minimal", data, tmp_path_factory.mktemp("default"))


def test_the_source_has_at_most_70_lines() -> None:
    """It is shown whole in the documentation."""
    assert len(SOURCE.read_text(encoding="utf-8").splitlines()) <= 70


def test_the_source_imports_torch_and_the_harness_alone() -> None:
    """Besides the standard library. Its neighbour `trainer` imports more, as control."""

    def imported(path: Path) -> set[str]:
        names = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(node.module or "")
        return {name.split(".")[0] for name in names} - sys.stdlib_module_names

    assert {"torch", "harness"} == imported(SOURCE)
    assert "transformers" in imported(SOURCE.with_name("trainer.py"))


def test_every_field_of_the_recipe_is_followed_or_refused() -> None:
    """A new field must be placed in one of the tables above."""
    assert set(Recipe.model_fields) == set(FOLLOWED) | set(REFUSED)
    assert set(minimal.FOLLOWED) == set(FOLLOWED)
    assert not set(FOLLOWED) & set(REFUSED)


@pytest.mark.parametrize("field", FOLLOWED)
def test_a_followed_field_keeps_the_loop_identical_to_plain(
    field: str, data: Path, default: RunRecord, tmp_path: Path
) -> None:
    """Every recorded value is equal, and the field has an effect on the training."""
    change = FOLLOWED[field]
    assert change.value != getattr(Recipe(), field)
    settings = {field: change.value}
    plain = trained("plain", data, tmp_path / "plain", change.steps, **settings)
    same = trained("minimal", data, tmp_path / "minimal", change.steps, **settings)
    found = compared(plain, same)
    assert (None, change.steps, ()) == (found.first_divergence, found.steps, found.settings), found
    assert plain.logged.equals(same.logged)
    if change.trains_differently:
        assert default.steps["weights"][-1] != same.steps["weights"][-1]


@pytest.mark.parametrize("field", REFUSED)
def test_a_field_that_is_not_followed_is_refused(field: str) -> None:
    """One line: the required value, the value met, the remedy."""
    recipe = build(Recipe, {field: REFUSED[field]})
    workload = cast(Workload, SimpleNamespace(world_size=1, resume_from=None))
    with pytest.raises(SpecError) as refusal:
        minimal.train(workload, recipe, cast(Any, None))
    met = getattr(recipe, field)
    rule = f"the minimal loop requires {field}={getattr(Recipe(), field)} (met {met})"
    assert f"{rule}: change it, or use the plain loop" == str(refusal.value)


@pytest.mark.parametrize(
    ("setting", "value", "rule"),
    [
        ("world_size", 2, "the minimal loop requires processes=1 (met 2)"),
        ("resume_from", Path("step-4"), "the minimal loop requires resume=None (met step-4)"),
    ],
)
def test_several_processes_and_a_resume_are_refused(setting: str, value: Any, rule: str) -> None:
    """Both are settings of the workload, not of the recipe."""
    given: dict[str, Any] = {"world_size": 1, "resume_from": None, setting: value}
    workload = cast(Workload, SimpleNamespace(**given))
    with pytest.raises(SpecError) as refusal:
        minimal.train(workload, Recipe(), cast(Any, None))
    assert f"{rule}: change it, or use the plain loop" == str(refusal.value)


def test_a_fault_in_a_copy_of_the_loop_is_located(data: Path, tmp_path: Path) -> None:
    """Control: a copy that divides by the configured window differs at the first short window."""
    source = SOURCE.read_text(encoding="utf-8")
    right, wrong = "/ len(window)", "/ recipe.gradient_accumulation_steps"
    assert 1 == source.count(right)
    copy = tmp_path / "my_loop.py"
    settings = {"gradient_accumulation_steps": 2}
    plain = trained("plain", data, tmp_path / "plain", 4, **settings)
    for text, divergence in ((source, None), (source.replace(right, wrong), (2, "loss"))):
        copy.write_text(text, encoding="utf-8")
        first = compared(plain, trained(str(copy), data, tmp_path / "copy", 4, **settings))
        found = first.first_divergence
        assert divergence == (found and (found.step, found.stage))


@pytest.mark.slow
def test_the_loop_is_chosen_by_its_name(data: Path, tmp_path: Path) -> None:
    """In processes of their own, evaluated at the end: identical to the plain loop."""
    records = train(small_case(data), ["plain", "minimal"], tmp_path)
    found = comparison(records, "plain", "minimal")
    assert ("identical", 6, ()) == (found.outcome, found.steps, found.doubts), found
