"""Generated images of stripes, discs and crosses, classified by a small vision transformer.

The transformer is drawn from the seed. A pretrained one, from a folder or the hub, gets a new head
and images of its own size.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
import transformers
from datasets import Array3D, Dataset, Features, Value
from transformers import (
    AutoModelForImageClassification,
    PreTrainedModel,
    ViTConfig,
    default_data_collator,
)

from harness.spec.recipe import Option, Recipe
from harness.training import hub
from harness.training.data_files import first_rows
from harness.training.metrics.accuracy import Accuracy
from harness.training.pretrained import load_pretrained
from harness.training.synthetic.shapes import CLASSES, Images, image_splits
from harness.training.workload import Workload, mean_cross_entropy

__all__ = ["build"]

# Read as literals by the registry; None: a small ViT drawn from the seed.
OPTIONS = {"model": None, "train_rows": 0, "eval_rows": 0}
RECIPE = {"learning_rate": 1e-3}

_SIZE = 32


def build(
    options: dict[str, Option], recipe: Recipe, device: torch.device, output_dir: Path
) -> Workload:
    """The workload. Raises `SpecError` for a model that is missing or does not fit."""
    model = _model(options["model"], recipe)
    size = getattr(model.config, "image_size", _SIZE)
    train, validation = image_splits(size if isinstance(size, int) else _SIZE)
    return Workload(
        name="vision",
        model=model,
        tokenizer=None,
        train_set=first_rows(_rows(train), "train_rows", options["train_rows"]),
        eval_set=first_rows(_rows(validation), "eval_rows", options["eval_rows"]),
        collate=default_data_collator,
        num_classes=len(CLASSES),
        loss=mean_cross_entropy,
        metric=partial(Accuracy, cache_dir=str(output_dir), keep_in_memory=True),
        device=device,
        output_dir=output_dir,
    )


def _model(name: Option, recipe: Recipe) -> PreTrainedModel:
    if name is not None:
        checkpoint = str(name)
        if not Path(checkpoint).is_dir():
            hub.require("model", checkpoint, "config.json", "pass --set model=FOLDER")
        return load_pretrained(  # type: ignore[no-any-return]  # the auto class is untyped
            AutoModelForImageClassification,
            checkpoint,
            "image classification",
            recipe,
            num_labels=len(CLASSES),
            ignore_mismatched_sizes=True,  # the head of a model for other classes
        )
    # As when a checkpoint is loaded: no warnings.
    transformers.logging.set_verbosity_error()
    shape = ViTConfig(
        image_size=_SIZE,
        patch_size=8,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.1,
        # ViT's default of 0.02 is meant for 768 columns; with it this model learns nothing.
        initializer_range=0.1,
        id2label=dict(enumerate(CLASSES)),
    )
    return AutoModelForImageClassification.from_config(  # type: ignore[no-any-return]  # as above
        shape, dtype=torch.float32, attn_implementation=recipe.attention
    )


def _rows(made: Images) -> Dataset:
    features = Features(
        {"pixel_values": Array3D(made.pixels.shape[1:], "float32"), "labels": Value("int64")}
    )
    columns = {"pixel_values": made.pixels, "labels": made.labels}
    return Dataset.from_dict(columns, features=features).with_format("torch")
