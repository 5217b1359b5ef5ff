"""Words of generated sentences, each tagged with the fact it states, by a small pretrained BERT.

Only the first piece of a word has a label. Special tokens, further pieces and padding have -100
and are not scored. F1 is the mean over the tags (macro).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import (
    AutoModelForTokenClassification,
    DataCollatorForTokenClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from harness.errors import SpecError
from harness.spec.recipe import Option, Recipe
from harness.training import hub
from harness.training.data_files import first_rows
from harness.training.metrics.accuracy_and_macro_f1 import AccuracyAndMacroF1
from harness.training.pretrained import length_limit, load_pretrained, load_tokenizer
from harness.training.synthetic.tagged_sentences import TAGS, tagged_splits
from harness.training.workload import IGNORED, Workload, mean_cross_entropy

__all__ = ["build"]

# Read as literals by the registry; None: the model of the package.
OPTIONS = {"model": None, "train_rows": 0, "eval_rows": 0}
RECIPE = {"learning_rate": 3e-4}

_TASK = "token classification, with a tokenizer"
_CHECKPOINT = Path(__file__).parent.parent / "synthetic" / "checkpoint"


def build(
    options: dict[str, Option], recipe: Recipe, device: torch.device, output_dir: Path
) -> Workload:
    """The workload. Raises `SpecError` for a model that is missing or does not fit."""
    checkpoint = str(options["model"] or _CHECKPOINT)
    if not Path(checkpoint).is_dir():
        hub.require("model", checkpoint, "config.json", "pass --set model=FOLDER")
    tokenizer = load_tokenizer(checkpoint, _TASK)
    if not tokenizer.is_fast:
        raise SpecError(
            "the tokenizer must report the word of each token",
            type(tokenizer).__name__,
            "pass a model with a fast tokenizer",
        )
    model: PreTrainedModel = load_pretrained(
        AutoModelForTokenClassification, checkpoint, _TASK, recipe, num_labels=len(TAGS)
    )
    limit = length_limit(recipe, tokenizer, model)
    train, validation = tagged_splits()
    return Workload(
        name="token_classification",
        model=model,
        tokenizer=tokenizer,
        train_set=first_rows(
            _encode(Dataset.from_list(train), tokenizer, limit), "train_rows", options["train_rows"]
        ),
        eval_set=first_rows(
            _encode(Dataset.from_list(validation), tokenizer, limit),
            "eval_rows",
            options["eval_rows"],
        ),
        collate=DataCollatorForTokenClassification(
            tokenizer, padding=recipe.padding, max_length=limit
        ),
        num_classes=len(TAGS),
        loss=mean_cross_entropy,
        metric=partial(AccuracyAndMacroF1, cache_dir=str(output_dir), keep_in_memory=True),
        device=device,
        output_dir=output_dir,
    )


def _encode(rows: Dataset, tokenizer: PreTrainedTokenizerBase, limit: int) -> Dataset:
    def encode(batch: dict[str, list[Any]]) -> Any:
        encoded = tokenizer(
            batch["words"], is_split_into_words=True, truncation=True, max_length=limit
        )
        encoded["labels"] = [
            _labels(encoded.word_ids(number), tags) for number, tags in enumerate(batch["tags"])
        ]
        return encoded

    return rows.map(
        encode,
        batched=True,
        remove_columns=rows.column_names,
        keep_in_memory=True,
        load_from_cache_file=False,
    ).with_format("torch")


def _labels(words: list[int | None], tags: list[int]) -> list[int]:
    """One label per token: the tag at the first piece of a word, `IGNORED` elsewhere."""
    before = [None, *words]
    return [
        IGNORED if word is None or word == last else tags[word]
        for word, last in zip(words, before, strict=False)
    ]
