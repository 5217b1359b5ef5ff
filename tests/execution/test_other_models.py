"""A loop that trains another model than the task's, which the task cannot evaluate."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.small_runs import comparison, small_case, train, write_pairs

LOOP = """
import torch
from harness.training.loops.plain import epoch_loader


def train(workload, recipe, probe):
    model = workload.model
    torch.manual_seed(recipe.seed)
    model.classifier = torch.nn.Linear(model.config.hidden_size, {outputs})
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    probe.watch(model, optimizer)
    model.train()
    batches = iter(epoch_loader(workload, recipe, 0))
    for _ in range(2):
        batch = next(batches)
        targets = batch.pop("labels").float()
        loss = (model(**batch).logits[:, 0] - targets).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model
"""


@pytest.mark.slow
def test_a_model_with_another_output_is_traced_with_its_own_loss(tmp_path: Path) -> None:
    """One output: the evaluation of the task fails, and that is a warning and a doubt."""
    case = small_case(write_pairs(tmp_path / "data"), max_steps=2)
    paths = [tmp_path / "one.py", tmp_path / "two.py"]
    for path in paths:
        path.write_text(LOOP.format(outputs=1))
    records = train(case, [str(path) for path in paths], tmp_path / "records")
    for record in records.values():
        assert "completed" == record.header.status, record.header.traceback
        (warning,) = record.header.warnings
        assert warning.startswith("the task cannot evaluate the trained model: ")
        assert () == record.header.evaluations
        assert 0 == record.micro_batches["loss"].null_count
    found = comparison(records, "one", "two")
    assert ("inconclusive", None) == (found.outcome, found.first_divergence)
    assert any("the trained model was not evaluated" in doubt for doubt in found.doubts)


@pytest.mark.slow
def test_a_model_that_the_task_can_evaluate_is_evaluated(tmp_path: Path) -> None:
    """Control: the same loop with two outputs."""
    case = small_case(write_pairs(tmp_path / "data"), max_steps=2)
    path = tmp_path / "two_outputs.py"
    path.write_text(LOOP.format(outputs=2))
    (record,) = train(case, [str(path)], tmp_path / "records").values()
    assert ("completed", 1) == (record.header.status, len(record.header.evaluations))
