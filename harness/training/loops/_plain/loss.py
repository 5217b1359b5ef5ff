"""The loss of a micro-batch in the plain loop, and the number of labels that it averages over."""

import torch
from torch import Tensor

from harness.spec.recipe import Recipe
from harness.training.loops._plain.batches import Batch
from harness.training.workload import IGNORED, Workload


def forward(
    model: torch.nn.Module, batch: Batch, workload: Workload, recipe: Recipe, num_labels: int
) -> Tensor:
    """The scalar loss of one micro-batch: the model's own, or a cross-entropy with smoothed labels.

    `num_labels`: the labels of the whole window, used only if the model averages the loss. The
    smoothed loss follows `transformers.trainer_pt_utils.LabelSmoother`.
    """
    if recipe.loss_average == "model":
        batch = {**batch, "num_items_in_batch": torch.tensor(num_labels)}
    if not recipe.label_smoothing:
        loss: Tensor = model(**batch).loss
        return loss
    labels = batch.pop("labels")
    logits = model(**batch).logits.float()  # the loss is computed in fp32, also under autocast
    costs = -torch.nn.functional.log_softmax(logits, dim=-1)
    if workload.shifts_labels:  # the logits at each token predict the next token
        costs, labels = costs[..., :-1, :], labels[..., 1:]
    counted = labels != IGNORED
    target = costs.gather(dim=-1, index=labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    hard = (target * counted).sum() / counted.sum()
    all_classes = costs.sum(dim=-1, dtype=torch.float32)
    soft = (all_classes * counted).sum() / (counted.sum() * costs.shape[-1])
    return (1 - recipe.label_smoothing) * hard + recipe.label_smoothing * soft


def count_labels(window: list[Batch], workload: Workload) -> int:
    """The number of labels in one update over all processes, without those that are `IGNORED`."""
    count = torch.tensor(sum(int((batch["labels"] != IGNORED).sum()) for batch in window))
    if workload.world_size > 1:
        count = count.to(workload.device)
        torch.distributed.all_reduce(count)
    return int(count)
