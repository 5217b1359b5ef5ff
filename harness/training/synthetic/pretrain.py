"""Pretrain the tiny BERT that the default case fine-tunes, and write it as a checkpoint folder.

A BERT of this size drawn at random learns nothing in 1377 steps but to answer with the majority
class, so loops compared on it would be compared on a constant. This script gives it what
pretraining gives a large one: the habit of comparing two sentences. It learns on pairs drawn
fresh at every step, and asks two questions of each: are these paraphrases (through the pooler),
and which words state a changed fact (through each token). The second gives every word its share
of the error. Both heads are thrown away: who fine-tunes begins with a fresh classifier.

Pretraining stops early on purpose. After 3000 steps, one epoch of fine-tuning is right on 0.99 of
the validation rows and the other two epochs change nothing; after 700 steps there is room left.

It is no part of a comparison and follows no recipe. It runs on the CPU, in one thread.
"""

import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Annotated, Final

import torch
import transformers
import typer
from rich.progress import Progress
from torch import Tensor, nn
from transformers import BertConfig, BertModel
from transformers.models.bert.modeling_bert import BertSelfAttention

from harness.training.synthetic.grammar import Pair, draw_pair
from harness.training.synthetic.pair_reader import (
    MAX_TOKENS,
    NO_FACT,
    Batch,
    PairReader,
    write_tokenizer,
)
from harness.training.synthetic.sentence_pairs import vocabulary

__all__ = ["model_config", "pretrain"]

_BATCH_SIZE: Final = 32
_PEAK_LEARNING_RATE: Final = 1e-3
_WARMUP_STEPS: Final = 100
_WEIGHT_DECAY: Final = 0.01
_MAX_GRAD_NORM: Final = 1.0

# The pairs grow from bare cores to full length over this share of the steps.
_CURRICULUM_SHARE: Final = 0.5
_MAX_DETAILS: Final = 4

# BERT's own spread of 0.02 is meant for 768 columns; at 128 it leaves attention all but uniform.
_LINEAR_STD: Final = 0.088
_WORD_STD: Final = 0.1
_SEGMENT_STD: Final = 0.05

_CHECK_SEED: Final = "check"
_CHECK_PAIRS: Final = 1024


class _Matcher(nn.Module):
    """A bare BERT and the two heads of pretraining."""

    def __init__(self, bert: BertModel, hidden_size: int) -> None:
        super().__init__()
        self.bert = bert
        self.pair_head = nn.Linear(hidden_size, 2)
        self.token_head = nn.Linear(hidden_size, 2)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the logits of the pairs, (pair, 2), and of the tokens, (pair, token, 2)."""
        output = self.bert(
            input_ids=batch.input_ids,
            token_type_ids=batch.token_type_ids,
            attention_mask=batch.attention_mask,
        )
        return self.pair_head(output.pooler_output), self.token_head(output.last_hidden_state)


def model_config() -> BertConfig:
    """Return the shape of the model: two layers of 128 columns, small enough for one core."""
    return BertConfig(
        vocab_size=len(vocabulary()),
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=512,
        max_position_embeddings=MAX_TOKENS,
        hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.1,
    )


def pretrain(
    folder: Path, *, steps: int, seed: int, progress: Callable[[int, float], None]
) -> float:
    """Pretrain for `steps` updates and write the checkpoint to `folder`, made if missing.

    After each update, `progress` is told its number and the running accuracy on its pairs.
    Returns the accuracy of the matching head on fresh pairs, half of them paraphrases. Beside the
    weights and the tokenizer stands `pretraining.json`: where they come from. Raises ValueError
    if `steps` is less than 1.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, but is {steps}; ask for 1 step or more")
    start_s = time.perf_counter()
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    # Random hashes a text seed, so these streams are not those of the integer seeds of the splits.
    random = Random(f"pretraining {seed}")
    reader = PairReader(write_tokenizer(folder))
    config = model_config()
    model = _Matcher(BertModel(config), config.hidden_size)
    _initialize(model.bert)
    model.train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=_PEAK_LEARNING_RATE, weight_decay=_WEIGHT_DECAY, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / _WARMUP_STEPS, (steps - step) / steps)
    )
    running_accuracy = 0.5
    for step in range(steps):
        batch = reader.read(_draw_pairs(random, _BATCH_SIZE, _details_at(step, steps)))
        pair_logits, token_logits = model(batch)
        pair_loss = nn.functional.cross_entropy(pair_logits, batch.labels)
        token_loss = nn.functional.cross_entropy(
            token_logits.flatten(0, 1), batch.changed.flatten(), ignore_index=NO_FACT
        )
        optimizer.zero_grad()
        torch.autograd.backward(pair_loss + token_loss)
        nn.utils.clip_grad_norm_(model.parameters(), _MAX_GRAD_NORM)
        optimizer.step()
        schedule.step()
        running_accuracy += 0.02 * (_accuracy(pair_logits, batch.labels) - running_accuracy)
        progress(step + 1, running_accuracy)
    accuracy = _check(model, reader)
    model.bert.save_pretrained(folder)
    provenance = {
        "steps": steps,
        "seed": seed,
        "matching_accuracy": accuracy,
        "matching_pairs": _CHECK_PAIRS,
        "duration_s": round(time.perf_counter() - start_s, 1),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "machine": platform.machine(),
    }
    text = json.dumps(provenance, indent=2) + "\n"
    (folder / "pretraining.json").write_text(text, encoding="utf-8")
    return accuracy


def _initialize(bert: BertModel) -> None:
    """Draw the weights so that, from the first step, a word looks at its like.

    Queries and keys begin equal, and words stand out from positions. From the draw of BertModel
    itself, matching did not begin within 500 steps of 64 pairs; from this one it begins after
    100 steps of 32.
    """
    with torch.no_grad():
        for module in bert.modules():
            if isinstance(module, nn.Linear):
                module.weight.normal_(std=_LINEAR_STD)
        bert.embeddings.word_embeddings.weight.normal_(std=_WORD_STD)
        bert.embeddings.token_type_embeddings.weight.normal_(std=_SEGMENT_STD)
        for module in bert.modules():
            if isinstance(module, BertSelfAttention):
                module.key.weight.copy_(module.query.weight)


def _details_at(step: int, steps: int) -> int:
    return min(_MAX_DETAILS, int((_MAX_DETAILS + 1) * step / (steps * _CURRICULUM_SHARE)))


def _draw_pairs(random: Random, count: int, max_details: int) -> list[Pair]:
    return [draw_pair(random, index % 2, max_details=max_details) for index in range(count)]


def _accuracy(logits: Tensor, labels: Tensor) -> float:
    return (logits.argmax(-1) == labels).float().mean().item()


def _check(model: _Matcher, reader: PairReader) -> float:
    model.eval()
    batch = reader.read(_draw_pairs(Random(_CHECK_SEED), _CHECK_PAIRS, _MAX_DETAILS))
    with torch.no_grad():
        pair_logits, _ = model(batch)
    return _accuracy(pair_logits, batch.labels)


def _main(
    out: Annotated[Path, typer.Option(help="Folder for the checkpoint; made if missing.")],
    steps: Annotated[
        int,
        typer.Option(
            min=1, help="Updates, each of 32 fresh pairs; more of them leave less to fine-tune."
        ),
    ] = 700,
    seed: Annotated[int, typer.Option(help="Seed of the first weights, dropout and pairs.")] = 0,
) -> None:
    """Pretrain the tiny BERT of the default case on sentence matching.

    The folder then holds a bare BertModel with its pooler, its tokenizer, and pretraining.json,
    which says how it was made; from_pretrained of transformers reads it. The same seed on the same
    machine gives the same weights. The shipped checkpoint was made by:

    python -m harness.training.synthetic.pretrain --out harness/synthetic/checkpoint
    """
    with Progress() as bar:
        task = bar.add_task("matching", total=steps)

        def progress(step: int, running_accuracy: float) -> None:
            bar.update(task, completed=step, description=f"matching {running_accuracy:.1%}")

        accuracy = pretrain(out, steps=steps, seed=seed, progress=progress)
    typer.echo(f"{out}: matches {accuracy:.1%} of {_CHECK_PAIRS} fresh pairs (half by chance)")


if __name__ == "__main__":
    typer.run(_main)
