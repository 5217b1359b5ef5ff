"""My training loop. Compare it with the reference: harness run --loops plain,my_loop.py"""

import math

import torch
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader


def train(workload, recipe, probe):
    """Train the model of the workload and return it.

    `workload` holds the model, the rows, the collate function and the device. `recipe` holds every
    setting that `--set` reaches; this loop follows those that it reads.
    """
    model = workload.model.to(workload.device)
    rows, size = workload.train_set, recipe.per_device_batch_size
    steps_per_epoch = math.ceil(len(rows) / size)
    num_steps = recipe.max_steps or recipe.num_epochs * steps_per_epoch

    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, weight_decay=0.0, fused=True
    )
    schedule = LambdaLR(optimizer, lambda step: (num_steps - step) / num_steps)

    # The only call that is required: after the optimizer is made, before the first step.
    probe.watch(model, optimizer)

    model.train()
    step = 0
    for epoch in range(math.ceil(num_steps / steps_per_epoch)):
        # The reference shuffles with a generator of its own, seeded with seed + epoch.
        generator = torch.Generator().manual_seed(recipe.seed + epoch)
        order = torch.randperm(len(rows), generator=generator).tolist()
        for batch in DataLoader(rows, size, sampler=order, collate_fn=workload.collate):
            inputs = {name: tensor.to(workload.device) for name, tensor in batch.items()}
            loss = model(**inputs).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.max_grad_norm or math.inf)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            probe.logged(loss.detach())  # optional: the loss that the loop shows to its user
            step += 1
            if step == num_steps:
                return model
    return model


# Check that a loop keeps its contract, for example in a test:
#
#     import harness
#
#     def test_my_loop():
#         harness.check_loop("my_loop.py")
