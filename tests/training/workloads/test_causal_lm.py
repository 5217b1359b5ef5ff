"""The language-modelling task: packed or padded rows, and a loss over the next tokens."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.errors import SpecError
from harness.spec import registry
from harness.training.evaluation import check_one_batch
from harness.training.examples import Examples
from harness.training.seeding import generators_restored, seed_everything
from harness.training.workload import IGNORED, Workload, mean_cross_entropy, next_tokens
from harness.training.workloads import causal_lm

pytestmark = pytest.mark.slow

VARIANTS: list[dict[str, Any]] = [
    {"model": model, "packing": packing} for model in ("gpt2", "llama") for packing in (True, False)
]


def workload(folder: Path, **settings: Any) -> Workload:
    """The workload of the built-in case with some settings changed."""
    case = registry.with_settings(registry.cases()["causal_lm"], settings)
    with generators_restored():
        seed_everything(case.recipe.seed)
        return causal_lm.build(case.options, case.recipe, torch.device("cpu"), folder)


def batch_of(task: Workload, *rows: int) -> dict[str, torch.Tensor]:
    """One batch of the first training rows."""
    return dict(task.collate([task.train_set[row] for row in rows]))


@pytest.mark.parametrize("settings", VARIANTS, ids=lambda s: "-".join(map(str, s.values())))
def test_the_loss_is_the_models_own(settings: dict[str, Any], tmp_path: Path) -> None:
    """The task computes the model's loss, bit for bit; without the shift it does not."""
    task = workload(tmp_path, **settings)
    batch = batch_of(task, 0, 3, 7)
    task.model.eval()
    with torch.no_grad():
        output = task.model(**batch)
    assert torch.equal(output.loss, task.loss(output.logits, batch["labels"]))
    assert not torch.equal(output.loss, mean_cross_entropy(output.logits, batch["labels"]))
    assert [0, 3, 7] == Examples(task.train_set).identify(batch)
    assert "loss 5.3" in check_one_batch(task, registry.cases()["causal_lm"].recipe)


def test_the_target_of_each_token_is_the_next_token() -> None:
    """Labels move one position to the left, and the last position has no target."""
    labels = torch.tensor([[4, 5, 6], [7, 8, IGNORED]])
    assert [[5, 6, IGNORED], [8, IGNORED, IGNORED]] == next_tokens(labels).tolist()


def test_packed_rows_are_full_blocks_of_one_stream(tmp_path: Path) -> None:
    """Blocks are equally long; concatenated they equal the texts, without the dropped end."""
    packed = workload(tmp_path, max_length=32)
    padded = workload(tmp_path, packing=False)
    stream = [int(token) for row in padded.train_set["input_ids"] for token in row]
    blocks = [row.tolist() for row in packed.train_set["input_ids"]]
    assert {32} == {len(block) for block in blocks}
    assert stream[: 32 * len(blocks)] == [token for block in blocks for token in block]
    assert len(stream) - 32 * len(blocks) < 32


def test_padding_is_no_target(tmp_path: Path) -> None:
    """Labels of padding are ignored, labels of tokens are the tokens, for both paddings."""
    for settings, length in (({}, None), ({"padding": "max_length", "max_length": 90}, 90)):
        task = workload(tmp_path, packing=False, **settings)
        batch = batch_of(task, 0, 1, 2, 3)
        tokens = batch["attention_mask"].bool()
        assert not bool(tokens.all())
        assert torch.equal(batch["input_ids"][tokens], batch["labels"][tokens])
        assert {IGNORED} == set(batch["labels"][~tokens].tolist())
        assert length in (None, tokens.shape[1])


def test_gpt2_ties_its_weights_and_llama_does_not(tmp_path: Path) -> None:
    """The output layer of GPT-2 is its embedding."""
    for model, tied in (("gpt2", True), ("llama", False)):
        built = workload(tmp_path, model=model).model
        same = built.get_output_embeddings().weight is built.get_input_embeddings().weight
        assert tied == same


def test_perplexity_is_the_exponential_of_the_loss(tmp_path: Path) -> None:
    """It is e to the loss, and infinite on overflow."""
    perplexity = workload(tmp_path).loss_metrics["perplexity"]
    assert math.e**2 == pytest.approx(perplexity(2.0))
    assert math.inf == perplexity(1e4)
    assert math.isnan(perplexity(math.nan))


def write_texts(folder: Path, column: str, text: object) -> str:
    """A data folder with one row per split."""
    for split in ("train", "validation"):
        (folder / f"{split}.csv").write_text(f"{column}\n{text}\n", encoding="utf-8")
    return str(folder)


def test_a_folder_of_texts_is_read(tmp_path: Path) -> None:
    """A user's text becomes one padded row."""
    data = write_texts(tmp_path, "text", "The bank closed the bridge.")
    assert 1 == len(workload(tmp_path, data=data, packing=False).train_set)


@pytest.mark.parametrize(
    ("column", "text", "settings", "rule"),
    [
        ("sentence", "The bank.", {}, "need the column text"),
        ("text", 5, {}, "must hold text"),
        ("text", "The bank.", {}, "need at least 128 tokens"),
        ("text", "The bank.", {"max_length": 129}, "at most the model's 128"),
        ("text", "The bank.", {"model": "no/such"}, "no/such"),
    ],
)
def test_unfit_data_and_settings_are_refused(
    column: str, text: object, settings: dict[str, Any], rule: str, tmp_path: Path
) -> None:
    """The message states the rule that is broken."""
    data = write_texts(tmp_path, column, text)
    with pytest.raises(SpecError, match=rule):
        workload(tmp_path, data=data, **settings)
