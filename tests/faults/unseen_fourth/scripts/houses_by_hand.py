import math

import torch
from torch.nn import functional as F


class DecoupledAdam(torch.optim.Optimizer):
    """Adam with decoupled weight decay, written out."""

    def __init__(self, params, lr, betas, eps, weight_decay):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            b1, b2 = group["betas"]
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state["step"] = 0
                    state["exp_avg"] = torch.zeros_like(p)
                    state["exp_avg_sq"] = torch.zeros_like(p)
                state["step"] += 1
                mean, square = state["exp_avg"], state["exp_avg_sq"]
                p.mul_(1 - group["lr"] * group["weight_decay"])
                mean.lerp_(p.grad, 1 - b1)
                square.mul_(b2).addcmul_(p.grad, p.grad, value=1 - b2)
                correction1 = 1 - b1 ** state["step"]
                correction2 = 1 - b2 ** state["step"]
                denominator = (square.sqrt() / math.sqrt(correction2)).add_(group["eps"])
                p.addcdiv_(mean, denominator, value=-group["lr"] / correction1)


g = torch.Generator().manual_seed(111)
x = torch.rand(72, 5, generator=g) * torch.tensor([200.0, 8, 60, 3, 1])
y = 2.0 * x[:, 0] + 15 * x[:, 1] - x[:, 2] + 30 * x[:, 4]
y = y + 20 * torch.randn(72, generator=g)
x, y = (x - x.mean(0)) / x.std(0), (y - y.mean()) / y.std()

torch.manual_seed(110)
layers = [torch.nn.Linear(5, 24), torch.nn.Linear(24, 24), torch.nn.Linear(24, 1)]
weights = [w for layer in layers for w in (layer.weight, layer.bias)]
optimizer = DecoupledAdam(weights, lr=1e-2, betas=(0.9, 0.99), eps=1e-6, weight_decay=0.05)
order = torch.randperm(72, generator=torch.Generator().manual_seed(112))
step = 0
for epoch in range(3):
    for rows in order.split(12):
        optimizer.param_groups[0]["lr"] = 1e-2 * min(1.0, (step + 1) / 5)
        h = F.silu(layers[0](x[rows]))
        h = F.silu(layers[1](h))
        guess = layers[2](h).squeeze(1)
        loss = F.mse_loss(guess, y[rows])
        for w in weights:
            w.grad = None
        loss.backward()
        optimizer.step()
        step += 1
        print(step, loss.item())
