import math

import torch
import torch.nn.functional as F

SIZE, WIDTH, MOST = 14, 16, math.log(20)


def read(count):
    g = torch.Generator().manual_seed(101)
    kinds = torch.randint(0, 12, (count,), generator=g)
    centres = torch.randn(12, 16, generator=g)
    pictures = F.one_hot(kinds, 12).float() @ centres + 0.3 * torch.randn(count, 16, generator=g)
    fillers = torch.randint(12, 30, (count, 3), generator=g)
    return pictures, torch.hstack([kinds.unsqueeze(1), fillers])


def make_weights():
    hidden, output = torch.nn.Linear(16, 32), torch.nn.Linear(32, WIDTH)
    table = torch.randn(30, 24).requires_grad_()
    project = torch.nn.Linear(24, WIDTH, bias=False)
    scale = torch.tensor(math.log(1 / 0.07), requires_grad=True)
    return {
        "hidden": hidden.weight,
        "hidden_bias": hidden.bias,
        "output": output.weight,
        "output_bias": output.bias,
        "table": table,
        "project": project.weight,
        "scale": scale,
    }


def encode_pictures(w, x):
    h = F.gelu(F.linear(x, w["hidden"], w["hidden_bias"]))
    return F.normalize(F.linear(h, w["output"], w["output_bias"]), dim=1)


def encode_texts(w, tokens):
    bags = F.embedding_bag(tokens, w["table"], mode="mean")
    return F.normalize(F.linear(bags, w["project"]), dim=1)


def step_loss(w, x, tokens):
    similarity = w["scale"].exp() * encode_pictures(w, x) @ encode_texts(w, tokens).T
    diagonal = torch.arange(len(x))
    rows = F.nll_loss(similarity.log_softmax(dim=1), diagonal)
    columns = F.nll_loss(similarity.T.log_softmax(dim=1), diagonal)
    return 0.5 * (rows + columns)


torch.manual_seed(100)
pictures, texts = read(56)
w = make_weights()
matrices = ("hidden", "output", "table", "project")
groups = [
    {"params": [w[name] for name in matrices], "weight_decay": 0.2},
    {"params": [w[name] for name in w if name not in matrices], "weight_decay": 0.0},
]
optimizer = torch.optim.AdamW(groups, lr=4e-3, betas=(0.9, 0.98), eps=1e-6)
schedule = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.25, total_iters=4)
for epoch in range(4):
    order = torch.randperm(56, generator=torch.Generator().manual_seed(102 + epoch))
    for start in range(0, 56, SIZE):
        rows = order[start : start + SIZE]
        optimizer.zero_grad()
        loss = step_loss(w, pictures[rows], texts[rows])
        loss.backward()
        optimizer.step()
        schedule.step()
        w["scale"].data.clamp_(min=0, max=MOST)
        print(epoch, loss.item())
