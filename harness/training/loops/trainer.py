"""The stock Hugging Face `Trainer`, used through public arguments and a callback."""

from pathlib import Path
from typing import Any

import torch
from torch.utils._pytree import tree_map
from transformers import EvalPrediction, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_pt_utils import LabelSmoother

from harness.errors import SpecError
from harness.spec.recipe import Recipe
from harness.training.evaluation import Scores, classes_in, predictions_of
from harness.training.probe import Probe
from harness.training.workload import Workload

# The recipe's defaults are the Trainer's conventions, with one exception: if the model accepts
# extra arguments for its loss, the Trainer leaves the average over a window to the model.
NATIVE: dict[str, object] = {"loss_average": "model"}

_EVALUATIONS: dict[object, str] = {None: "no", "epoch": "epoch"}
_STRATEGIES = {"sequential": "sequential", "length_grouped": "group_by_length"}


def train(workload: Workload, recipe: Recipe, probe: Probe) -> torch.nn.Module:
    """Train the workload's model by the recipe and return it."""
    if recipe.loss_average == "window":
        # The documented remedy for heads that accept `num_items_in_batch` but ignore it.
        workload.model.accepts_loss_kwargs = False  # read by Trainer
        probe.remedied(
            "model.accepts_loss_kwargs = False: the Trainer then divides the loss of each "
            "micro-batch by the length of its window instead of leaving that to the model"
        )
    if workload.world_size > 1 and recipe.sharding != "dealt":
        raise SpecError(
            "the Trainer deals whole batches to the processes",
            f"sharding={recipe.sharding}",
            "set sharding to dealt",
        )
    if recipe.parallel != "ddp":
        raise SpecError(
            "the Trainer loop does not shard the model",
            f"parallel={recipe.parallel}",
            "set parallel to ddp",
        )
    if recipe.eval_every is not None and not workload.has_labels:
        raise SpecError(
            "the Trainer evaluates batches with a column labels",
            f"eval_every={recipe.eval_every}",
            "set eval_every to none, or return labels from collate",
        )
    on_cpu = workload.device.type == "cpu"
    shape: str = recipe.lr_schedule
    if shape == "constant" and (recipe.warmup_steps or recipe.warmup_ratio):
        shape = "constant_with_warmup"
    arguments = TrainingArguments(
        output_dir=str(workload.output_dir),
        seed=recipe.seed,
        data_seed=recipe.data_seed,
        num_train_epochs=recipe.num_epochs,
        max_steps=recipe.max_steps or -1,
        per_device_train_batch_size=recipe.per_device_batch_size,
        per_device_eval_batch_size=recipe.eval_batch_size,
        gradient_accumulation_steps=recipe.gradient_accumulation_steps,
        **renamed_since_4(recipe),
        accelerator_config={"use_seedable_sampler": recipe.sampler == "seeded"},
        dataloader_drop_last=recipe.drop_last,
        dataloader_num_workers=recipe.num_workers,
        dataloader_pin_memory=not on_cpu,
        label_smoothing_factor=recipe.label_smoothing,
        lr_scheduler_type=shape,
        max_grad_norm=recipe.max_grad_norm or 0.0,
        weight_decay=recipe.weight_decay,
        bf16=recipe.precision == "bf16",
        fp16=recipe.precision == "fp16",
        torch_compile=recipe.compile is not None,
        torch_compile_backend=recipe.compile,
        gradient_checkpointing=recipe.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        eval_strategy=_EVALUATIONS.get(recipe.eval_every, "steps"),
        eval_steps=None if recipe.eval_every == "epoch" else recipe.eval_every,
        use_cpu=on_cpu,
        ddp_backend=None if workload.world_size == 1 else "gloo" if on_cpu else "nccl",
        average_tokens_across_devices=recipe.loss_average == "model",
        save_strategy="steps" if recipe.save_every else "no",
        save_steps=recipe.save_every or 1,
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        # The Trainer drops columns that the model's `forward` does not name.
        remove_unused_columns=not workload.own_task,
    )

    def compute_metrics(seen: EvalPrediction) -> dict[str, float]:
        """The task's metrics of the Trainer's evaluation; also reports them to the probe."""
        outputs, labels = tree_map(torch.as_tensor, (seen.predictions, seen.label_ids))
        predictions, references = predictions_of(workload, outputs, labels)
        metric = workload.metric()
        metric.add_batch(predictions=predictions, references=references)
        metrics = metric.compute() or {}
        predicted = classes_in(workload, predictions)
        probe.evaluated(Scores(len(labels), metrics, predicted))
        return metrics

    def scaled_loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any) -> torch.Tensor:
        """The loss of a micro-batch; the Trainer does not divide a loss from a user's function."""
        if recipe.label_smoothing:
            loss: torch.Tensor = LabelSmoother(epsilon=recipe.label_smoothing)(
                outputs, labels, shift_labels=workload.shifts_labels
            )
        else:
            loss = workload.loss(outputs.logits, labels)
        if recipe.loss_average == "configured":
            return loss / recipe.gradient_accumulation_steps
        return loss

    trainer = Trainer(
        model=workload.model,
        args=arguments,
        train_dataset=workload.train_set,
        eval_dataset=workload.eval_set,
        processing_class=workload.tokenizer,
        data_collator=workload.collate,
        compute_metrics=compute_metrics,
        compute_loss_func=scaled_loss if recipe.loss_average in ("sum", "configured") else None,
        optimizer_cls_and_kwargs=optimizer_choice(workload.model, recipe),
    )
    trainer.add_callback(ProbeCallback(trainer, probe))
    if recipe.drop_last:
        probe.remedied(
            "args.dataloader_drop_last = False after the training loader is built: otherwise the "
            "Trainer would also drop the last rows of each evaluation"
        )
    # On a resume the Trainer restores weights, optimizer, schedule and generators: within an epoch
    # after the first fetch, at an epoch's end before the new iterator. It does not save the states
    # of the generators at the epoch's start, so within an epoch it cannot draw that order again.
    resume_from = workload.resume_from
    trainer.train(resume_from_checkpoint=None if resume_from is None else str(resume_from))
    return workload.model  # type: ignore[no-any-return]  # an nn.Module


def renamed_since_4(recipe: Recipe) -> dict[str, Any]:
    """Arguments for row order and warm-up, by their names in the installed transformers."""
    if "train_sampling_strategy" in TrainingArguments.__dataclass_fields__:
        warmup = recipe.warmup_steps or recipe.warmup_ratio  # below 1 it is a share
        strategy = _STRATEGIES.get(recipe.sampler, "random")
        return {"train_sampling_strategy": strategy, "warmup_steps": warmup}
    if recipe.sampler == "sequential":
        raise SpecError(
            "the Trainer supports sampler=sequential from transformers 5 on",
            "an earlier transformers",
            "set sampler to seeded, or install a later transformers",
        )
    return {
        "group_by_length": recipe.sampler == "length_grouped",
        "warmup_steps": recipe.warmup_steps,
        "warmup_ratio": recipe.warmup_ratio,
    }


def optimizer_choice(
    model: torch.nn.Module, recipe: Recipe
) -> tuple[type[torch.optim.Optimizer], dict[str, object]]:
    """Optimizer class and options; the Trainer builds the groups, except if all are decayed."""
    options: dict[str, object] = {
        "lr": recipe.learning_rate,
        "fused": recipe.optimizer_flavour == "fused",
        "foreach": recipe.optimizer_flavour == "foreach",
    }
    if recipe.decay_exclusions == "none":
        trained = [p for p in model.parameters() if p.requires_grad]
        options["params"] = [{"params": trained, "weight_decay": recipe.weight_decay}]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD, {**options, "momentum": recipe.momentum}
    return torch.optim.AdamW, {**options, "betas": recipe.betas, "eps": recipe.eps}


class ProbeCallback(TrainerCallback):
    """Passes the Trainer's model and optimizer to the probe, and reports checkpoints to it."""

    def __init__(self, trainer: Trainer, probe: Probe) -> None:
        self.trainer = trainer
        self.probe = probe

    def on_train_begin(self, args, state, control, optimizer=None, **kwargs):  # type: ignore[no-untyped-def]  # the signature is the library's
        # A checkpoint restores its own evaluation interval; this sets the current one.
        state.compute_steps(args, state.max_steps)
        self.probe.watch(self.trainer.model_wrapped, optimizer)
        args.dataloader_drop_last = False  # read again for each evaluation's loader

    def on_save(self, args, state, control, **kwargs):  # type: ignore[no-untyped-def]  # as above
        self.probe.saved(Path(args.output_dir) / f"checkpoint-{state.global_step}")
