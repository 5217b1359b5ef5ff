import math

import torch
from torch.nn.functional import cross_entropy, dropout, embedding, gelu, layer_norm, linear

text = (
    "the quick brown fox jumps over the lazy dog and the slow red cat sleeps under the old oak "
    "while a small grey mouse looks for bread near the warm stove in the kitchen of the house "
)
chars = sorted(set(text))
data = torch.tensor([chars.index(c) for c in text])
V, T, C, L, H, P = len(chars), 16, 32, 2, 4, 0.1
STEPS, WARMUP, TOP, BOTTOM = 12, 3, 6e-3, 6e-4

torch.manual_seed(61)
w = {"wte": torch.empty(V, C).normal_(std=0.08), "wpe": torch.empty(T, C).normal_(std=0.08)}
small = 0.08 / math.sqrt(2 * L)
for i in range(L):
    w[f"{i}.g1"], w[f"{i}.b1"] = torch.ones(C), torch.zeros(C)
    w[f"{i}.qkv"], w[f"{i}.qkv_b"] = torch.empty(3 * C, C).normal_(std=0.08), torch.zeros(3 * C)
    w[f"{i}.proj"], w[f"{i}.proj_b"] = torch.empty(C, C).normal_(std=small), torch.zeros(C)
    w[f"{i}.g2"], w[f"{i}.b2"] = torch.ones(C), torch.zeros(C)
    w[f"{i}.up"], w[f"{i}.up_b"] = torch.empty(4 * C, C).normal_(std=0.08), torch.zeros(4 * C)
    w[f"{i}.down"], w[f"{i}.down_b"] = torch.empty(C, 4 * C).normal_(std=small), torch.zeros(C)
w["g"], w["b"] = torch.ones(C), torch.zeros(C)
for tensor in w.values():
    tensor.requires_grad_()

visible = torch.tril(torch.ones(T, T))


def attend(x, i):
    n = len(x)
    q, k, v = linear(x, w[f"{i}.qkv"], w[f"{i}.qkv_b"]).chunk(3, dim=-1)
    q, k, v = [t.reshape(n, T, H, C // H).permute(0, 2, 1, 3) for t in (q, k, v)]
    scores = (q @ k.mT) / math.sqrt(C // H)
    scores = scores.masked_fill(visible == 0, float("-inf"))
    mixed = scores.softmax(dim=-1) @ v
    return linear(mixed.permute(0, 2, 1, 3).reshape(n, T, C), w[f"{i}.proj"], w[f"{i}.proj_b"])


def cost(ids, wanted):
    x = embedding(ids, w["wte"]) + w["wpe"]
    for i in range(L):
        normed = layer_norm(x, (C,), w[f"{i}.g1"], w[f"{i}.b1"])
        x = x + dropout(attend(normed, i), P)
        normed = layer_norm(x, (C,), w[f"{i}.g2"], w[f"{i}.b2"])
        inner = gelu(linear(normed, w[f"{i}.up"], w[f"{i}.up_b"]))
        x = x + dropout(linear(inner, w[f"{i}.down"], w[f"{i}.down_b"]), P)
    logits = linear(layer_norm(x, (C,), w["g"], w["b"]), w["wte"])
    return cross_entropy(logits.view(-1, V), wanted.reshape(-1))


matrices = [t for t in w.values() if t.dim() > 1]
vectors = [t for t in w.values() if t.dim() == 1]
adamw = torch.optim.AdamW(
    [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
    lr=TOP,
    betas=(0.9, 0.95),
)
picks = torch.Generator().manual_seed(62)
torch.manual_seed(63)
for step in range(STEPS):
    share = (step - WARMUP) / (STEPS - WARMUP)
    lr = BOTTOM + 0.5 * (1 + math.cos(math.pi * share)) * (TOP - BOTTOM)
    if step < WARMUP:
        lr = TOP * (step + 1) / WARMUP
    for group in adamw.param_groups:
        group["lr"] = lr
    adamw.zero_grad()
    for micro in range(2):
        at = torch.randint(len(data) - T, (6,), generator=picks)
        pieces = data[at[:, None] + torch.arange(T + 1)]
        (cost(pieces[:, :-1], pieces[:, 1:]) / 2).backward()
    torch.nn.utils.clip_grad_norm_(list(w.values()), 1.0)
    adamw.step()
    print(f"step {step} lr {lr:.6f}")
