"""Synthetic records in which one setting differs, with the effect that it has on the values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.results.record import Observation, Site
from tests.support.evidence import evident
from tests.support.records import Draft

__all__ = ["SETTINGS_OF", "SPOILS", "Spoil", "sound"]

Spoil = Callable[[Draft], None]

_SETTINGS: dict[str, Any] = {
    "clip.kind": "norm",
    "clip.limit": 1.0,
    "clip.norm_type": "2.0",
    "loader.batch_size": 4,
    "loader.order": "shuffled",
    "loss.function": "cross_entropy",
    "loss.label_smoothing": 0.0,
    "loss.reduction": "mean",
    "model.dropout": {"0.1": 3},
    "model.dropout_modules": {"0.1": ["a.dropout", "b.dropout", "c.dropout"]},
    "model.norm_eps": {"1e-05": 2},
    "optimizer.betas": [0.9, 0.999],
    "optimizer.decoupled_weight_decay": True,
    "optimizer.eps": 1e-8,
    "optimizer.learning_rate": 5e-5,
    "optimizer.weight_decay": 0.1,
}
_LINES = {
    "optimizer": "torch.optim.AdamW(model.parameters(), **options)",
    "schedule": "LambdaLR(optimizer, course)",
    "loader": "DataLoader(rows, **options)",
    "backward": "loss.backward()",
    "clip": "clip_grad_norm_(model.parameters(), limit)",
}


def sound(file: str = "plain.py", first_line: int = 10) -> Draft:
    """A run whose settings are all recorded, with the lines that set them in `file`."""
    made = evident(**_SETTINGS)
    made.header["sites"] = {
        name: Site(place=f"{file}:{first_line + number}", source=source)
        for number, (name, source) in enumerate(_LINES.items())
    }
    for p in ("0.1", "0.3"):
        line = Site(place=f"{file}:{first_line - 1}", source=f"nn.Dropout({p})")
        made.header["sites"][f"dropout {p}"] = line
    return made


def _set(made: Draft, **settings: Any) -> None:
    """Settings by name, with two underscores for the dot."""
    for name, value in settings.items():
        made.header["settings"][name.replace("__", ".")] = value


def _other(made: Draft, stage: str, step: int = 1) -> None:
    """From `step` on, this stage of the updates differs, and what follows from it."""
    stages = ("gradients", "weights", "optimizer_state")
    for row in (*made.rows["steps"], *made.rows["tensors"]):
        for column in stages[stages.index(stage) :]:
            key = column if column in row else column.removesuffix("s")
            if row["step"] >= step and key in row:
                row[key] ^= 1


def _other_loss(made: Draft, both: bool, step: int = 1) -> None:
    """Another loss; `both`: the workload's own loss differs, too."""
    for row in made.rows["micro_batches"]:
        if row["step"] >= step:
            row["loss"] += 0.0625
            row["task_loss"] += 0.0625 if both else 0.0
    _other(made, "gradients", step)
    for row in made.rows["norms"]:
        if row["step"] >= step:
            row["gradient"] *= 1.5 if row["tensor"] == "classifier.bias" else 1.25


def learning_rate(made: Draft) -> None:
    _set(made, optimizer__learning_rate=3e-5)
    for row in made.rows["steps"]:
        row["learning_rate"] = [3e-5 / 5e-5 * rate for rate in row["learning_rate"]]
    _other(made, "weights")


def constant_schedule(made: Draft) -> None:
    for row in made.rows["steps"]:
        row["learning_rate"] = [5e-5]
    _other(made, "weights", 2)


def warmup(made: Draft) -> None:
    for row in made.rows["steps"]:
        row["learning_rate"] = [2.5e-5 * min(row["step"] - 1, 2)]
    _other(made, "weights")


def batch_size(made: Draft) -> None:
    _set(made, loader__batch_size=2)
    for row in made.rows["micro_batches"]:
        row["sample_ids"], row["rows"] = row["sample_ids"][:2], row["rows"][:2]
        row["batch_content"] ^= 1
    _other_loss(made, both=True)
    made.recount()


def not_shuffled(made: Draft) -> None:
    _set(made, loader__order="in order")
    for number, row in enumerate(made.rows["micro_batches"]):
        row["sample_ids"] = [(4 * number + place + 7) % 24 for place in range(4)]
        row["batch_content"] ^= 1
    _other_loss(made, both=True)


def clip(made: Draft) -> None:
    _set(made, clip__limit=0.5)
    for row in made.rows["norms"]:
        if row["step"]:
            total = 13 / row["step"]
            row["applied"] = row["gradient"] * min(1.0, 0.5 / total)
    _other(made, "weights")


def clip_by_value(made: Draft) -> None:
    _set(made, clip__kind="value", clip__limit=0.5)
    for row in made.rows["norms"]:
        if row["step"]:
            row["applied"] = min(row["gradient"], 0.5)
    _other(made, "weights")


def unclipped(made: Draft) -> None:
    for name in ("clip.kind", "clip.limit", "clip.norm_type"):
        del made.header["settings"][name]
    del made.header["sites"]["clip"]
    for row in made.rows["norms"]:
        row["applied"] = row["gradient"]
    _other(made, "weights")


def dropout(made: Draft) -> None:
    _set(
        made,
        model__dropout={"0.1": 2, "0.3": 1},
        model__dropout_modules={"0.1": ["a.dropout", "b.dropout"], "0.3": ["c.dropout"]},
    )
    _other_loss(made, both=True)


def norm_eps(made: Draft) -> None:
    _set(made, model__norm_eps={"1e-12": 2})
    _other_loss(made, both=True)


def label_smoothing(made: Draft) -> None:
    _set(made, loss__label_smoothing=0.2)
    _other_loss(made, both=False)


def loss_function(made: Draft) -> None:
    _set(made, loss__function="mse_loss")
    _other_loss(made, both=False)


def weight_decay(made: Draft) -> None:
    _set(made, optimizer__weight_decay=0.01)
    _other(made, "weights")


def decay_groups(made: Draft) -> None:
    groups = {"0.0": ["classifier.bias"], "0.1": ["classifier.weight", "embedding.weight"]}
    _set(made, optimizer__weight_decay=groups)
    for step in range(2, 7):
        made.tensor(step, "classifier.bias")["weight"] ^= 1
        made.step(step)["weights"] ^= 1


def coupled_decay(made: Draft) -> None:
    _set(made, optimizer__rule="Adam", optimizer__decoupled_weight_decay=False)
    _other(made, "weights")


def update_rule(made: Draft) -> None:
    _set(made, optimizer__rule="RMSprop", optimizer__flavour="for_loop")
    _other(made, "weights")


def betas(made: Draft) -> None:
    _set(made, optimizer__betas=[0.9, 0.95])
    _other(made, "weights")


def implementation(made: Draft) -> None:
    _set(made, optimizer__flavour="foreach")
    _other(made, "weights", 3)


def resumed(made: Draft) -> None:
    made.header["resumed_from"] = (3,)
    made.header["observed"] = {"optimizer_without_state": [Observation(step=4)]}
    _other(made, "weights", 4)


def draws(made: Draft) -> None:
    _set(made, rng__draws_since_seed=6)
    for row in made.rows["micro_batches"]:
        row["rng"] ^= 1
    _other_loss(made, both=True)


SPOILS: dict[str, tuple[Spoil, str]] = {
    "learning-rate": (learning_rate, "learning_rate"),
    "constant-schedule": (constant_schedule, "schedule"),
    "warm-up": (warmup, "schedule"),
    "batch-size": (batch_size, "batch_size"),
    "not-shuffled": (not_shuffled, "order"),
    "clip": (clip, "clip"),
    "clip-by-value": (clip_by_value, "clip"),
    "unclipped": (unclipped, "clip"),
    "dropout": (dropout, "dropout"),
    "norm-eps": (norm_eps, "norm_eps"),
    "label-smoothing": (label_smoothing, "label_smoothing"),
    "loss-function": (loss_function, "function"),
    "weight-decay": (weight_decay, "weight_decay"),
    "decay-groups": (decay_groups, "weight_decay"),
    "coupled-decay": (coupled_decay, "decay_coupling"),
    "update-rule": (update_rule, "update_rule"),
    "betas": (betas, "betas"),
    "implementation": (implementation, "implementation"),
    "resumed-without-state": (resumed, "resumed_state"),
    "drawn-before": (draws, "draws"),
}
"""Each spoils a sound run; the fact that must then explain the first divergence."""

SETTINGS_OF = {
    "batch_size": "loader.batch_size",
    "betas": "optimizer.betas",
    "clip": "clip.limit",
    "draws": "rng.draws_since_seed",
    "dropout": "model.dropout",
    "function": "loss.function",
    "implementation": "optimizer.flavour",
    "label_smoothing": "loss.label_smoothing",
    "learning_rate": "optimizer.learning_rate",
    "norm_eps": "model.norm_eps",
    "order": "loader.order",
    "update_rule": "optimizer.rule",
    "weight_decay": "optimizer.weight_decay",
}
"""The setting of which a fact has the values."""
