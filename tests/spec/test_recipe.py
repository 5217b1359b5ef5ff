"""What is to be run: the course's defaults, refused values, keys that tell specs apart."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.errors import SpecError
from harness.spec.case import Case, RunSpec
from harness.spec.recipe import Recipe, build, parse_value

# Another valid value for each field of the recipe.
OTHER: dict[str, Any] = {
    "seed": 43,
    "data_seed": 7,
    "reseed_after_build": False,
    "num_epochs": 4,
    "max_steps": 50,
    "per_device_batch_size": 16,
    "eval_batch_size": 16,
    "drop_last": True,
    "sampler": "global",
    "padding": "max_length",
    "max_length": 64,
    "num_workers": 1,
    "optimizer_flavour": "foreach",
    "learning_rate": 3e-5,
    "betas": (0.9, 0.99),
    "eps": 1e-6,
    "weight_decay": 0.01,
    "decay_exclusions": "none",
    "lr_schedule": "cosine",
    "warmup_steps": 10,
    "max_grad_norm": None,
    "attention": "eager",
    "num_threads": 2,
    "random_numbers": "host",
    "gradient_accumulation_steps": 4,
    "loss_average": "sum",
    "extra_padding": 3,
    "frozen": "bert.embeddings",
    "label_smoothing": 0.1,
    "optimizer": "sgd",
    "momentum": 0.5,
    "warmup_ratio": 0.1,
    "eval_every": "epoch",
    "precision": "bf16",
    "gradient_checkpointing": True,
    "save_every": 100,
    "compile": "inductor",
    "sharding": "strided",
    "parallel": "fsdp2",
    "schedule_per_process": True,
}
# For each field values that no recipe may have.
BAD: list[tuple[str, Any]] = [
    ("seed", -1),
    ("seed", 2**32),
    ("seed", 0.5),
    ("data_seed", -1),
    ("num_epochs", 0),
    ("max_steps", 0),
    ("per_device_batch_size", 0),
    ("per_device_batch_size", "eight"),
    ("eval_batch_size", 0),
    ("drop_last", "perhaps"),
    ("sampler", "random"),
    ("padding", "none"),
    ("max_length", 1),
    ("num_workers", -1),
    ("optimizer", "lion"),
    ("gradient_accumulation_steps", 0),
    ("loss_average", "mean"),
    ("extra_padding", -1),
    ("frozen", 3),
    ("label_smoothing", 1.0),
    ("momentum", 1.0),
    ("warmup_ratio", 1.0),
    ("eval_every", 0),
    ("eval_every", "step"),
    ("sharding", "random"),
    ("parallel", "tensor"),
    ("schedule_per_process", "perhaps"),
    ("compile", "onnx"),
    ("compile", True),
    ("save_every", 0),
    ("save_every", "epoch"),
    ("precision", "fp8"),
    ("gradient_checkpointing", "perhaps"),
    ("optimizer_flavour", "slow"),
    ("learning_rate", 0.0),
    ("learning_rate", -1e-5),
    ("learning_rate", float("nan")),
    ("learning_rate", float("inf")),
    ("learning_rate", None),
    ("betas", (0.9, 1.0)),
    ("betas", (0.9,)),
    ("betas", 0.9),
    ("eps", 0.0),
    ("weight_decay", -0.1),
    ("decay_exclusions", "all"),
    ("lr_schedule", "step"),
    ("warmup_steps", -1),
    ("max_grad_norm", 0.0),
    ("attention", "flash"),
    ("num_threads", 0),
    ("random_numbers", "gpu"),
]


def case(**changes: Any) -> Case:
    return Case(**{"name": "tiny", "workload": "paraphrase", **changes})


def run_spec(**changes: Any) -> RunSpec:
    return RunSpec(**{"case": case(), "loop": "plain", "recipe": Recipe(), **changes})


def test_the_defaults_are_the_courses() -> None:
    """Batch 8, three epochs, AdamW at 5e-5 falling in a line from the first step."""
    recipe = Recipe()

    assert (8, 3, None) == (recipe.per_device_batch_size, recipe.num_epochs, recipe.max_steps)
    assert ("adamw", 5e-5, "linear", 0) == (
        recipe.optimizer,
        recipe.learning_rate,
        recipe.lr_schedule,
        recipe.warmup_steps,
    )


def test_the_other_defaults_are_the_stock_trainers() -> None:
    """Seed 42, fused update, clipping at 1.0, no decay, none of it on biases and norms."""
    recipe = Recipe()

    assert (42, None, True) == (recipe.seed, recipe.data_seed, recipe.reseed_after_build)
    assert ("fused", 1.0, 0.0) == (
        recipe.optimizer_flavour,
        recipe.max_grad_norm,
        recipe.weight_decay,
    )
    assert ("bias_and_norm", (0.9, 0.999), 1e-8) == (
        recipe.decay_exclusions,
        recipe.betas,
        recipe.eps,
    )


@pytest.mark.parametrize(("field", "value"), BAD)
def test_a_bad_value_is_refused_in_one_line(field: str, value: Any) -> None:
    """The line names the field, the value met and what to do."""
    with pytest.raises(SpecError) as caught:
        build(Recipe, {field: value})

    assert re.fullmatch(rf"{field}[.\d]*: .+ \(met .+\): change {field}\b.*", str(caught.value))


@pytest.mark.parametrize("field", ["seed", "learning_rate", "warmup_steps", "max_grad_norm"])
def test_yes_is_no_number(field: str) -> None:
    """`true` where a number belongs is a slip, not a 1."""
    with pytest.raises(SpecError):
        build(Recipe, {field: True})


@pytest.mark.parametrize("field", OTHER)
def test_another_good_value_is_taken(field: str) -> None:
    """Control of the refusals: every field takes another value."""
    assert OTHER[field] == getattr(build(Recipe, {field: OTHER[field]}), field)


def test_every_field_of_the_recipe_is_tried() -> None:
    """A field that is added is added to the tables of this file as well."""
    assert Recipe.model_fields.keys() == OTHER.keys()
    assert OTHER.keys() - {"reseed_after_build"} <= {field for field, _ in BAD}


def test_every_field_says_what_it_is() -> None:
    """Each field of a spec has a line that `harness list` prints."""
    for model in (Recipe, Case, RunSpec):
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"


def test_an_unknown_field_names_the_nearest() -> None:
    """A slip of the pen is answered with the field that was meant."""
    with pytest.raises(
        SpecError, match=r"unknown field of recipe .*'learning_rat'.*'learning_rate'"
    ):
        build(Recipe, {"learning_rat": 1e-4})


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "../up", "a b"])
def test_a_case_name_is_fit_for_a_folder(name: str) -> None:
    """A name that could lead elsewhere on the disk is refused; ordinary ones are not."""
    with pytest.raises(SpecError, match=r"^name: "):
        build(Case, {"name": name, "workload": "mrpc"})
    assert "mrpc-2.v1_x" == build(Case, {"name": "mrpc-2.v1_x", "workload": "mrpc"}).name


def test_specs_are_frozen() -> None:
    """Nothing changes a spec after it was validated."""
    with pytest.raises(ValidationError, match="frozen"):
        Recipe().seed = 1  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize("field", OTHER)
def test_every_field_of_a_recipe_changes_every_key(field: str) -> None:
    """The key of a recipe, and of the case and run that hold it, depends on each field."""
    changed = Recipe(**{field: OTHER[field]})

    assert Recipe().key != changed.key
    assert case().key != case(recipe=changed).key
    assert run_spec().key != run_spec(recipe=changed).key


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"workload": "mrpc"},
        {"options": {"data": "x"}},
        {"device": "cuda"},
        {"resume_at": 3},
        {"world_size": 2},
        {"arms": {"eager": {"attention": "eager"}}},
        {"noise": 8},
    ],
)
def test_every_field_of_a_case_changes_its_key(changes: dict[str, Any]) -> None:
    """The same recipe on something else is another case."""
    assert case().key != case(**changes).key


@pytest.mark.parametrize(
    "changes",
    [
        {"loop": "trainer"},
        {"conventions": "native"},
        {"observe": "timing"},
        {"repeat": 2},
        {"resume_at": 3},
        {"stop_after": 3},
        {"localize_at": 3},
        {"launcher": "accelerate"},
        {"arm": "eager"},
        {"sketch": True},
        {"perturbation": {"draw": 1}},
        {"perturbation": {"draw": 2}},
        {"perturbation": {"draw": 1, "rounding": "bf16"}},
    ],
)
def test_every_field_of_a_run_changes_its_key(changes: dict[str, Any]) -> None:
    """The same case run otherwise is another run."""
    assert run_spec().key != run_spec(**changes).key


def test_a_key_is_stable() -> None:
    """It depends on values alone: neither on the way through JSON nor on the order of options."""
    spec = run_spec(case=case(options={"data": "x", "model": None}))
    turned = run_spec(case=case(options={"model": None, "data": "x"}))

    assert spec.key == turned.key
    assert spec.key == RunSpec.model_validate_json(spec.model_dump_json()).key
    assert re.fullmatch(r"[0-9a-f]{16}", spec.key)


@given(one=st.integers(0, 2**32 - 1), two=st.integers(0, 2**32 - 1))
def test_keys_are_equal_exactly_where_seeds_are(one: int, two: int) -> None:
    """No two seeds share a key, and none has two."""
    assert (one == two) == (Recipe(seed=one).key == Recipe(seed=two).key)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("50", 50),
        ("5e-5", 5e-5),
        ("none", None),
        ("None", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("[0.9, 0.99]", [0.9, 0.99]),
        ("cosine", "cosine"),
        ("../data/mrpc", "../data/mrpc"),
        ("", ""),
        ("{broken", "{broken"),
    ],
)
def test_a_setting_is_read_as_what_it_looks_like(text: str, expected: object) -> None:
    """JSON where it is JSON, else the text itself; an integer is no truth value."""
    found = parse_value(text)

    assert (expected, type(expected)) == (found, type(found))
