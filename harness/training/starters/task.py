"""My task. Train it by each loop: harness run my_task.py"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

# Fields of the recipe in which this task differs from the default. It can be left out.
RECIPE = {"learning_rate": 1e-2, "max_steps": 50}


def task(rows=256, hidden=16):
    """Return the model and the data. The arguments are options: --set hidden=32."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(rows, 8, generator=generator)
    targets = inputs.sum(dim=1, keepdim=True)
    split = rows * 3 // 4
    return {
        # Any module. It gets the inputs of a batch: all tensors but the last, or the columns of a
        # dict but `labels`.
        "model": nn.Sequential(nn.Linear(8, hidden), nn.ReLU(), nn.Linear(hidden, 1)),
        # The rows for training and for evaluation: any data set with a length, or a list.
        "data": (
            TensorDataset(inputs[:split], targets[:split]),
            TensorDataset(inputs[split:], targets[split:]),
        ),
        # A function of output and target. Without it, the model must return its own loss.
        "loss": nn.functional.mse_loss,
        # A function of all outputs and targets, or a name: accuracy, accuracy_and_f1,
        # accuracy_and_macro_f1, regression, multi_label. Without it, the loss is the only metric.
        "metric": "regression",
        # "collate": a function that makes a batch of a list of rows. Without it, torch's own.
    }
