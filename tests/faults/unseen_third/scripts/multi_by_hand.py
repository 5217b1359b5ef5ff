import torch
import torch.nn.functional as F
from torch.nn import BatchNorm1d, Dropout, Linear, ReLU, Sequential

torch.manual_seed(77)
own = torch.Generator().manual_seed(78)
x = torch.randn(72, 10, generator=own)
truth = x @ torch.randn(10, 6, generator=own)
kind = truth[:, :4].argmax(dim=1)
size = truth[:, 4] + 0.1 * torch.randn(72, generator=own)
known = torch.rand(72, generator=own) < 0.7
alarm = (truth[:, 5] > 2.0).float()
rarity = (72 - alarm.sum()) / alarm.sum()

body = Sequential(Linear(10, 32), BatchNorm1d(32), ReLU(), Dropout(0.15), Linear(32, 16), ReLU())
heads = {"kind": Linear(16, 4), "size": Linear(16, 1), "alarm": Linear(16, 1)}
balance = torch.zeros(3, requires_grad=True)
weights = [p for part in (body, *heads.values()) for p in part.parameters()]
nadam = torch.optim.NAdam([{"params": weights}, {"params": [balance], "lr": 5e-2}], lr=4e-3)


def objective(rows):
    features = body(x[rows])
    out = {name: head(features) for name, head in heads.items()}
    costs = [F.cross_entropy(out["kind"], kind[rows])]
    miss = out["size"].squeeze(1) - size[rows]
    here = known[rows].to(miss.dtype)
    costs.append((miss**2 * here).sum() / here.sum().clamp(min=1))
    costs.append(
        F.binary_cross_entropy_with_logits(out["alarm"].squeeze(1), alarm[rows], pos_weight=rarity)
    )
    return ((-balance).exp() * torch.stack(costs) + balance).sum()


made = 0
for epoch in range(2):
    shuffler = torch.Generator().manual_seed(79 + epoch)
    torch.empty((), dtype=torch.int64).random_(generator=shuffler)  # a loader draws its seed
    pieces = torch.randperm(72, generator=shuffler).split(8)
    for i, rows in enumerate(pieces):
        cost = objective(rows)
        (cost / 2).backward()
        if i % 2 == 1 or i + 1 == len(pieces):
            torch.nn.utils.clip_grad_norm_([balance, *weights], 1.5)
            nadam.step()
            nadam.zero_grad()
            made += 1
            if made in (4, 8):
                for group in nadam.param_groups:
                    group["lr"] *= 0.3
        print(epoch, i, cost.item())
