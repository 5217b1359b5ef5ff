"""Loads model and tokenizer from a checkpoint's folder or hub id; one line if that fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from harness.errors import SpecError
from harness.spec.recipe import Recipe

__all__ = ["length_limit", "load_pretrained", "load_tokenizer"]


def length_limit(recipe: Recipe, tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> int:
    """The most tokens in a row: the recipe's `max_length`, or the limit of model and tokenizer."""
    positions = getattr(model.config, "max_position_embeddings", 512)
    return recipe.max_length or min(tokenizer.model_max_length, positions)


def load_pretrained(
    auto: type[Any], checkpoint: str, task: str, recipe: Recipe, **options: Any
) -> Any:
    """The model at `checkpoint`, a folder or a hub id, in single precision.

    `auto` is the class of transformers that loads it for `task`; `options`, such as `num_labels`,
    are passed to it. Raises `SpecError` for a checkpoint that does not fit.
    """
    _quiet()
    _check_checkpoint(checkpoint)
    try:
        return auto.from_pretrained(
            checkpoint, dtype=torch.float32, attn_implementation=recipe.attention, **options
        )
    except Exception as error:  # noqa: BLE001  # an unfit checkpoint raises errors of many classes
        raise _misfit(checkpoint, task, error) from None


def load_tokenizer(checkpoint: str, task: str) -> PreTrainedTokenizerBase:
    """The tokenizer of the model at `checkpoint`. Raises `SpecError`."""
    _quiet()
    _check_checkpoint(checkpoint)
    try:
        return AutoTokenizer.from_pretrained(checkpoint)
    except Exception as error:  # noqa: BLE001  # as above
        raise _misfit(checkpoint, task, error) from None


def _quiet() -> None:
    # Loading would warn of the new head, which is intended, and show progress bars.
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


def _misfit(checkpoint: str, task: str, error: Exception) -> SpecError:
    reason = f"{type(error).__name__}: {error}".split("\n")[0][:200]
    return SpecError(
        f"model must be a checkpoint for {task}", f"{checkpoint}: {reason}", "pass another"
    )


def _check_checkpoint(checkpoint: str) -> None:
    """Raise `SpecError` early for a local folder that is no checkpoint."""
    folder = Path(checkpoint)
    if folder.is_dir():
        config = folder / "config.json"
        try:
            json.loads(config.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise SpecError(
                "a model folder must hold a config.json", folder, "pass the folder of a checkpoint"
            ) from None
