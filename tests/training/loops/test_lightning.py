"""The loops of Lightning are identical with the plain loop; what they do not follow is refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.errors import SpecError
from harness.spec import registry
from harness.spec.recipe import Recipe
from harness.training.loops import fabric, lightning
from harness.training.workload import Workload
from tests.support.small_runs import comparison, small_case, train, write_pairs

LOOPS = {"fabric": fabric, "lightning": lightning}
RECIPES: dict[str, tuple[int, dict[str, Any]]] = {
    "course": (12, {"eval_every": 5, "data_seed": 7}),
    "accumulated": (
        6,
        {
            "gradient_accumulation_steps": 2,
            "weight_decay": 0.1,
            "max_grad_norm": 0.05,
            "lr_schedule": "cosine",
            "warmup_steps": 2,
            "learning_rate": 1e-3,
            "precision": "bf16",
            "optimizer_flavour": "foreach",
            "sampler": "global",
            "eval_every": "epoch",
            "num_workers": 1,
            "extra_padding": 3,
        },
    ),
}
FAULTS = {
    "fabric": ("            optimizer.zero_grad()\n", "", (2, "gradients")),
    "lightning": ("manual_seed(seed + epoch)", "manual_seed(seed)", (7, "data_order")),
}
"""A fault in a copy of the loop's file, or of the file that it takes its order from, and where it
shows."""


@pytest.mark.slow
@pytest.mark.parametrize(("steps", "recipe"), RECIPES.values(), ids=RECIPES)
def test_the_loops_are_identical_with_the_plain_loop(
    steps: int, recipe: dict[str, Any], tmp_path: Path
) -> None:
    """Over the fields that they follow, with dropout on."""
    records = train(
        small_case(write_pairs(tmp_path / "data"), **recipe),
        ["plain", *LOOPS],
        tmp_path / "records",
    )
    for candidate in LOOPS:
        found = comparison(records, "plain", candidate)
        assert ("identical", steps, ()) == (found.outcome, found.steps, found.doubts), found


@pytest.mark.slow
def test_a_fault_in_a_copy_of_a_loop_is_located(tmp_path: Path) -> None:
    """Control: at its step and stage."""
    copies = []
    shared = Path(fabric.__file__).read_text(encoding="utf-8")
    for name, (right, wrong, _) in FAULTS.items():
        assert 1 == shared.count(right)
        faulty = shared.replace(right, wrong)
        copy = tmp_path / f"{name}_fault.py"
        if name == "lightning":
            (tmp_path / "faulty_order.py").write_text(faulty, encoding="utf-8")
            text = Path(lightning.__file__).read_text(encoding="utf-8")
            imported = "from harness.training.loops import fabric\n"
            assert 1 == text.count(imported)
            faulty = text.replace(imported, "import faulty_order as fabric\n")
        copy.write_text(faulty, encoding="utf-8")
        copies.append(str(copy))
    case = small_case(write_pairs(tmp_path / "data"))
    records = train(case, ["plain", *copies], tmp_path / "records")
    for name, (_, _, place) in FAULTS.items():
        first = comparison(records, "plain", f"{name}_fault").first_divergence
        assert first is not None, records[f"{name}_fault"].header.error
        assert place == (first.step, first.stage)


@pytest.mark.parametrize(
    "setting",
    [
        {"label_smoothing": 0.1},
        {"compile": "eager"},
        {"save_every": 2},
        {"sampler": "length_grouped"},
        {"loss_average": "model"},
        {"precision": "fp16"},
        {"processes": 2},
    ],
    ids=lambda setting: next(iter(setting)),
)
@pytest.mark.parametrize("loop", LOOPS)
def test_what_a_loop_does_not_follow_is_refused(loop: str, setting: dict[str, Any]) -> None:
    """In one line, before it trains, with the field."""
    ((field, value),) = setting.items()
    workload = SimpleNamespace(world_size=value if field == "processes" else 1, resume_from=None)
    recipe = Recipe() if field == "processes" else Recipe(**setting)
    with pytest.raises(SpecError, match=f"the {loop} loop .*{field}") as refusal:
        LOOPS[loop].train(cast(Workload, workload), recipe, cast(Any, None))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("setting", "remedy"),
    [
        ({"gradient_accumulation_steps": 4}, "set loss_average to configured"),
        ({"loss_average": "sum"}, "set loss_average to configured"),
        ({"precision": "bf16"}, "set optimizer_flavour to foreach"),
    ],
)
def test_what_lightning_itself_does_otherwise_is_refused(
    setting: dict[str, Any], remedy: str
) -> None:
    """The average over a shorter window, and clipping for a fused optimizer under autocast."""
    rows = [{"labels": 0}] * 20  # 3 batches
    workload = SimpleNamespace(world_size=1, resume_from=None, train_set=rows, collate=list)
    with pytest.raises(SpecError, match=remedy):
        lightning.train(cast(Workload, workload), Recipe(**setting), cast(Any, None))


def test_a_loop_whose_library_is_missing_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is imported."""
    assert "fabric" == registry.loop("fabric").name
    monkeypatch.setattr("harness.spec.registry.find_spec", lambda name: None)
    with pytest.raises(SpecError, match=r"pip install 'trainloop-harness\[lightning\]'"):
        registry.loop("fabric")
