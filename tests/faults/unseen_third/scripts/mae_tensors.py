import math

import torch
import torch.nn.functional as F

torch.manual_seed(61)
pictures = torch.rand(48, 12, 12).cumsum(dim=1).cumsum(dim=2)
pictures = (pictures - pictures.mean()) / pictures.std()
tiles = pictures.unfold(1, 3, 3).unfold(2, 3, 3).reshape(48, 16, 9)

W, KEPT = 24, 6
to_width = torch.nn.Linear(9, W)
place = (torch.randn(16, W) * 0.02).requires_grad_()
inner = torch.nn.Linear(W, W), torch.nn.Linear(W, W)
blank = torch.zeros(W, requires_grad=True)
gain, offset = torch.ones(W, requires_grad=True), torch.zeros(W, requires_grad=True)
to_pixels = torch.nn.Linear(W, 9)
matrices = [place, to_width.weight, inner[0].weight, inner[1].weight, to_pixels.weight]
vectors = [blank, to_width.bias, inner[0].bias, inner[1].bias, gain, offset, to_pixels.bias]


def cost_of(tiles):
    n = len(tiles)
    ranking = torch.argsort(torch.rand(n, 16), dim=1)
    seen = ranking[:, :KEPT, None].expand(n, KEPT, W)
    tokens = torch.gather(to_width(tiles) + place, 1, seen)
    tokens = inner[1](F.gelu(inner[0](tokens)))
    everything = blank.expand(n, 16, W).scatter(1, seen, tokens) + place
    everything = everything + everything.mean(dim=1, keepdim=True)
    guessed = to_pixels(F.layer_norm(everything, (W,), gain, offset))
    spread = (tiles.var(dim=2, keepdim=True) + 1e-6).sqrt()
    wanted = (tiles - tiles.mean(dim=2, keepdim=True)) / spread
    wrong = ((guessed - wanted) ** 2).mean(dim=2)
    return torch.gather(wrong, 1, ranking[:, KEPT:]).mean()


lr, low = 6e-3, 1e-3
decays = [{"params": matrices, "weight_decay": 0.2}, {"params": vectors, "weight_decay": 0.0}]
adam = torch.optim.AdamW(decays, lr=lr, betas=(0.9, 0.95))
everything_trained = matrices + vectors
slow = [w.detach().clone() for w in everything_trained]
k = 0
for epoch in range(3):
    g = torch.Generator().manual_seed(epoch)
    torch.empty((), dtype=torch.int64).random_(generator=g)
    for rows in torch.randperm(40, generator=g).split(10):
        cost = cost_of(tiles[rows])
        cost.backward()
        adam.step()
        adam.zero_grad()
        k += 1
        lr = (1 + math.cos(math.pi * k / 12)) / (1 + math.cos(math.pi * (k - 1) / 12)) * (lr - low) + low
        for group in adam.param_groups:
            group["lr"] = lr
        with torch.no_grad():
            for average, w in zip(slow, everything_trained):
                average.mul_(0.8).add_(w, alpha=1 - 0.8)
        print(epoch, cost.item())
    fast = [w.detach().clone() for w in everything_trained]
    state = torch.get_rng_state()
    with torch.no_grad():
        for w, average in zip(everything_trained, slow):
            w.copy_(average)
        torch.manual_seed(0)
        print("held out", float(cost_of(tiles[40:])))
        torch.set_rng_state(state)
        for w, own in zip(everything_trained, fast):
            w.copy_(own)
