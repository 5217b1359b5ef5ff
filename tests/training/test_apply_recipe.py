"""Frozen parameters and the drawing collator follow the recipe; bad values are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from harness.errors import SpecError
from harness.execution.child.main import build_workload
from harness.spec.registry import cases, with_settings
from harness.training.apply_recipe import DrawingCollator, apply_recipe
from harness.training.workload import IGNORED, Workload


def workload(folder: Path, **settings: object) -> Workload:
    """A small built-in workload with its recipe applied."""
    few = {"train_rows": 8, "eval_rows": 8}
    case = with_settings(cases()["paraphrase"], {**few, **settings})
    return apply_recipe(build_workload(case, case.recipe, torch.device("cpu"), folder), case.recipe)


def test_frozen_parameters_are_not_trained(tmp_path: Path) -> None:
    """All parameters with the name prefix are frozen, and only they."""
    model = workload(tmp_path, frozen="bert.embeddings").model
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {n for n, _ in model.named_parameters() if n.startswith("bert.embeddings")}
    assert 0 < len(frozen) < len(list(model.parameters()))
    free = workload(tmp_path).model
    assert all(p.requires_grad for p in free.parameters())


@pytest.mark.parametrize("prefix", ["encoder", ""])
def test_freezing_nothing_or_all_is_refused(prefix: str, tmp_path: Path) -> None:
    """A prefix of no parameter, or of all parameters, is refused."""
    with pytest.raises(SpecError, match="frozen must be the beginning"):
        workload(tmp_path, frozen=prefix)


def test_a_drawing_collator_draws_from_the_global_generator() -> None:
    """It pads every column of tokens by a drawn number; labels are padded with `IGNORED`."""

    def collate(rows: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}

    rows = [{"input_ids": torch.tensor([5, 6]), "labels": torch.tensor([1, 2])}]
    drawing = DrawingCollator(collate, most=9, pad_token_id=3)
    sizes = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        batch = drawing(rows)
        sizes.append(batch["input_ids"].shape[1])
        assert [5, 6] + [3] * (sizes[-1] - 2) == batch["input_ids"][0].tolist()
        assert [1, 2] + [IGNORED] * (sizes[-1] - 2) == batch["labels"][0].tolist()
    assert sizes[0] == sizes[1] != sizes[2]
