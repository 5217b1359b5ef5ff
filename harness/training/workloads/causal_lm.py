"""Next-token prediction by a small GPT-2 or Llama, on packed or padded text of our own making.

Packed: the texts are joined end to end and cut into blocks of equal length; the short rest is
dropped. Padded: a row is one text, and the labels of its padding are ignored.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import torch
import transformers
from datasets import Dataset
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    DataCollatorForTokenClassification,
    GPT2Config,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    default_data_collator,
)

from harness.errors import SpecError
from harness.spec.recipe import Option, Recipe
from harness.training import hub
from harness.training.data_files import first_rows, read_folder
from harness.training.metrics.accuracy import Accuracy
from harness.training.pretrained import length_limit, load_pretrained, load_tokenizer
from harness.training.synthetic.text import text_splits
from harness.training.workload import Workload, mean_cross_entropy, next_tokens

__all__ = ["build"]

# Read as literals by the catalogue. model: gpt2 and llama are shapes of our own, drawn from the
# seed (the hub's GPT-2 is openai-community/gpt2); data: None is what the package brings along.
OPTIONS = {
    "model": "gpt2",
    "packing": True,
    "data": None,
    "train_rows": 0,
    "eval_rows": 0,
}
RECIPE = {"learning_rate": 2e-3}

_TASK = "causal language modelling, with a tokenizer"
_TOKENIZER = str(Path(__file__).parent.parent / "synthetic" / "checkpoint")
_POSITIONS = 128
_LONGEST_BLOCK = 1024
"""Most tokens of a block where the recipe does not say, as in transformers' examples."""


def build(
    options: dict[str, Option], recipe: Recipe, device: torch.device, output_dir: Path
) -> Workload:
    """The workload. Raises `SpecError` for data or a model that is not at hand or does not fit."""
    train, validation = _texts(options["data"])
    model, tokenizer = _model(str(options["model"]), recipe)
    limit = _row_length(recipe, tokenizer, model)
    packing = bool(options["packing"])
    encode = partial(_encode, tokenizer=tokenizer, limit=limit, packing=packing)
    return Workload(
        name="causal_lm",
        model=model,
        tokenizer=tokenizer,
        train_set=first_rows(encode(train, "train"), "train_rows", options["train_rows"]),
        eval_set=first_rows(encode(validation, "validation"), "eval_rows", options["eval_rows"]),
        collate=default_data_collator
        if packing
        else DataCollatorForTokenClassification(
            tokenizer, padding=recipe.padding, max_length=limit
        ),
        num_classes=model.config.get_text_config().vocab_size,
        shifts_labels=True,
        loss=_loss,
        loss_metrics={"perplexity": _perplexity},
        metric=partial(Accuracy, cache_dir=str(output_dir), keep_in_memory=True),
        device=device,
        output_dir=output_dir,
    )


def _loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over the target tokens of the batch, whichever rows they are in."""
    return mean_cross_entropy(logits, next_tokens(labels))


def _perplexity(loss: float) -> float:
    """The loss in nats as a number of equally likely tokens."""
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf


def _texts(data: Option) -> tuple[list[str], list[str]]:
    if data is None:
        made = text_splits()
        return [row["text"] for row in made.train], [row["text"] for row in made.validation]
    read = read_folder(Path(str(data)))
    return _column(read.train, "train"), _column(read.validation, "validation")


def _column(rows: Dataset, split: str) -> list[str]:
    if "text" not in rows.column_names:
        raise SpecError(
            f"the {split} rows need the column text",
            ", ".join(rows.column_names) or "none",
            "add or rename it",
        )
    for value in rows["text"]:
        if not isinstance(value, str):
            raise SpecError(f"column text of {split} holds text", repr(value), "mend it")
    return list(rows["text"])


def _model(name: str, recipe: Recipe) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    if name in ("gpt2", "llama"):
        tokenizer = load_tokenizer(_TOKENIZER, _TASK)
        # Quiet, as loading a checkpoint is.
        transformers.logging.set_verbosity_error()
        model = AutoModelForCausalLM.from_config(
            _shape(name, tokenizer), dtype=torch.float32, attn_implementation=recipe.attention
        )
        return model, tokenizer
    if not Path(name).is_dir():
        hub.require("model", name, "config.json", "pass --set model=gpt2, llama or a FOLDER")
    tokenizer = load_tokenizer(name, _TASK)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return load_pretrained(AutoModelForCausalLM, name, _TASK, recipe), tokenizer


def _shape(name: str, tokenizer: PreTrainedTokenizerBase) -> PreTrainedConfig:
    """Two layers of 64 columns. GPT-2 ties its output to its embeddings and drops out."""
    tokens: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
        "eos_token_id": _end(tokenizer),
        "use_cache": False,
    }
    if name == "gpt2":
        return GPT2Config(n_positions=_POSITIONS, n_embd=64, n_layer=2, n_head=4, **tokens)
    return LlamaConfig(
        max_position_embeddings=_POSITIONS,
        hidden_size=64,
        intermediate_size=176,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        **tokens,
    )


def _end(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token that ends a text; a tokenizer made for BERT has only one that parts two."""
    end = tokenizer.sep_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id
    if end is None:
        raise SpecError("a tokenizer needs a token that ends a text", None, "set its eos_token")
    return int(end)


def _row_length(recipe: Recipe, tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> int:
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if recipe.max_length and positions and recipe.max_length > positions:
        raise SpecError(
            f"max_length is at most the model's {positions} positions",
            recipe.max_length,
            "lower max_length",
        )
    return recipe.max_length or min(length_limit(recipe, tokenizer, model), _LONGEST_BLOCK)


def _encode(
    texts: list[str],
    split: str,
    *,
    tokenizer: PreTrainedTokenizerBase,
    limit: int,
    packing: bool,
) -> Dataset:
    """Rows of token ids, with labels that equal them; each text is closed by its end token."""
    encoded = tokenizer([text for text in texts if text], add_special_tokens=False, verbose=False)
    closed = [[*ids, _end(tokenizer)] for ids in encoded["input_ids"]]
    if packing:  # no mask: every token of a block counts
        stream = list(chain.from_iterable(closed))
        rows = [stream[at : at + limit] for at in range(0, len(stream) - limit + 1, limit)]
        columns = {"input_ids": rows}
    else:  # a row of one token has nothing to predict
        rows = [ids[:limit] for ids in closed if len(ids) > 1]
        columns = {"input_ids": rows, "attention_mask": [[1] * len(row) for row in rows]}
    if not rows:
        tokens = sum(map(len, closed))
        raise SpecError(
            f"the {split} texts need at least {limit if packing else 2} tokens",
            tokens,
            "lower max_length, or pass more text",
        )
    return Dataset.from_dict({**columns, "labels": rows}).with_format("torch")
