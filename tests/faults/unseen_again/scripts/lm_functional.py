import math

import torch
from torch.nn import functional as F

WIDTH, VOCABULARY, LENGTH = 16, 18, 10


def uniform(*shape, bound):
    return torch.empty(*shape).uniform_(-bound, bound)


def initial():
    edge = 1 / math.sqrt(WIDTH)
    p = {"words": torch.randn(VOCABULARY, WIDTH)}
    p["positions"] = torch.randn(LENGTH, WIDTH) * 0.1
    p["scale_a"], p["shift_a"] = torch.ones(WIDTH), torch.zeros(WIDTH)
    for name in ("query", "key", "value"):
        p[name] = uniform(WIDTH, WIDTH, bound=edge)
    p["scale_b"], p["shift_b"] = torch.ones(WIDTH), torch.zeros(WIDTH)
    p["up"], p["up_bias"] = uniform(2 * WIDTH, WIDTH, bound=edge), uniform(2 * WIDTH, bound=edge)
    narrow = 1 / math.sqrt(2 * WIDTH)
    p["down"], p["down_bias"] = uniform(WIDTH, 2 * WIDTH, bound=narrow), uniform(WIDTH, bound=narrow)
    p["scale_c"], p["shift_c"] = torch.ones(WIDTH), torch.zeros(WIDTH)
    return {name: tensor.requires_grad_() for name, tensor in p.items()}


def predict(p, ids):
    x = F.embedding(ids, p["words"]) + p["positions"]
    h = F.layer_norm(x, (WIDTH,), p["scale_a"], p["shift_a"])
    q, k, v = (F.linear(h, p[name]) for name in ("query", "key", "value"))
    scores = q @ k.transpose(1, 2) / 4.0
    future = torch.triu(torch.ones(LENGTH, LENGTH, dtype=torch.bool), diagonal=1)
    x = x + torch.softmax(scores.masked_fill(future, -math.inf), dim=-1) @ v
    h = F.layer_norm(x, (WIDTH,), p["scale_b"], p["shift_b"])
    x = x + F.linear(F.silu(F.linear(h, p["up"], p["up_bias"])), p["down"], p["down_bias"])
    x = F.layer_norm(x, (WIDTH,), p["scale_c"], p["shift_c"])
    return x @ p["words"].T


torch.manual_seed(55)
weights = initial()
generator = torch.Generator().manual_seed(56)
stream = torch.randint(VOCABULARY, (9, 64), generator=generator).cumsum(1) % VOCABULARY
adam = torch.optim.Adam(list(weights.values()), lr=3e-3, betas=(0.9, 0.98))
for update in range(9):
    start = update * 6
    source, target = stream[:, start : start + LENGTH], stream[:, start + 1 : start + LENGTH + 1]
    cost = F.cross_entropy(predict(weights, source).reshape(-1, VOCABULARY), target.reshape(-1))
    cost.backward()
    torch.nn.utils.clip_grad_norm_(list(weights.values()), 1.0)
    adam.step()
    adam.param_groups[0]["lr"] *= 0.9
    for tensor in weights.values():
        tensor.grad = None
    print(update, float(cost))
