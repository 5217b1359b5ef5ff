import math

import torch
import torch.nn.functional as F

D, WORDS, CLASSES, RANK = 24, 40, 4, 4


def linear_init(rows, columns):
    edge = 1 / math.sqrt(columns)
    return torch.empty(rows, columns).uniform_(-edge, edge), torch.empty(rows).uniform_(-edge, edge)


def build():
    frozen, trained = {}, {}
    frozen["table"] = torch.randn(WORDS, D)
    frozen["table"][0] = 0
    frozen["scale"], frozen["shift"] = torch.ones(D), torch.zeros(D)
    for layer in "01":
        for name in "qkv":
            frozen[name + layer], frozen[name + layer + "_bias"] = linear_init(D, D)
    head = linear_init(CLASSES, D)
    for layer in "01":
        for name in "qv":
            trained[name + layer + "_a"] = torch.empty(RANK, D).uniform_(-1 / math.sqrt(D), 1 / math.sqrt(D))
            trained[name + layer + "_b"] = torch.zeros(D, RANK)
    trained["head"], trained["head_bias"] = head
    return frozen, {name: t.requires_grad_() for name, t in trained.items()}


def adapted(h, name, frozen, trained):
    narrow = F.linear(F.dropout(h, 0.1), trained[name + "_a"])
    whole = F.linear(h, frozen[name], frozen[name + "_bias"])
    return whole + 2.0 * F.linear(narrow, trained[name + "_b"])


def logits_of(tokens, frozen, trained):
    real = tokens > 0
    x = F.embedding(tokens, frozen["table"])
    for layer in "01":
        h = F.layer_norm(x, (D,), frozen["scale"], frozen["shift"])
        q = adapted(h, "q" + layer, frozen, trained)
        k = F.linear(h, frozen["k" + layer], frozen["k" + layer + "_bias"])
        v = adapted(h, "v" + layer, frozen, trained)
        scores = torch.matmul(q, k.transpose(1, 2)) / math.sqrt(D)
        scores = torch.where(real[:, None, :], scores, -math.inf)
        x = x + torch.softmax(scores, dim=2) @ v
    pooled = (x * real[:, :, None]).sum(dim=1) / real.sum(dim=1, keepdim=True)
    return F.linear(pooled, trained["head"], trained["head_bias"])


torch.manual_seed(30)
frozen, trained = build()
g = torch.Generator().manual_seed(31)
texts = torch.randint(1, WORDS, (60, 9), generator=g)
sizes = torch.randint(3, 10, (60,), generator=g)
texts = torch.where(torch.arange(9)[None, :] < sizes[:, None], texts, 0)
topics = texts.sum(dim=1) % CLASSES

narrow = [t for name, t in trained.items() if "head" not in name]
head = [trained["head"], trained["head_bias"]]
adam = torch.optim.AdamW([{"params": narrow, "weight_decay": 0.0}, {"params": head, "weight_decay": 0.1}])

for number in range(10):
    if number % 5 == 0:
        order = torch.randperm(60)
    rows = order[number % 5 * 12 : number % 5 * 12 + 12]
    part = (number + 1) / 3 if number < 2 else 0.5 * (1 + math.cos(math.pi * (number - 2) / 8))
    adam.param_groups[0]["lr"] = 2e-2 * part
    adam.param_groups[1]["lr"] = 5e-3 * part
    out = logits_of(texts[rows], frozen, trained)
    loss = F.cross_entropy(out, topics[rows], label_smoothing=0.05)
    loss.backward()
    adam.step()
    adam.zero_grad()
    print(f"update {number}: {loss.item():.10f}")
