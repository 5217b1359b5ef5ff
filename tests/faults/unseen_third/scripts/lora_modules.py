import math

import torch
from torch import nn


class LoRALinear(nn.Module):
    """A frozen linear layer with a trained product of two narrow matrices beside it."""

    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down = nn.Parameter(torch.empty(rank, base.in_features))
        self.up = nn.Parameter(torch.zeros(base.out_features, rank))
        self.dropout = nn.Dropout(0.1)
        self.scale = alpha / rank
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, x):
        narrow = nn.functional.linear(self.dropout(x), self.down)
        return self.base(x) + self.scale * nn.functional.linear(narrow, self.up)


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))

    def forward(self, x, present):
        h = self.norm(x)
        q, k, v = self.query(h), self.key(h), self.value(h)
        scores = (q @ k.transpose(-2, -1)) / math.sqrt(q.shape[-1])
        scores = scores.masked_fill(~present[:, None, :], float("-inf"))
        return x + scores.softmax(dim=-1) @ v


class Classifier(nn.Module):
    def __init__(self, vocabulary=40, width=24, classes=4):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=0)
        self.blocks = nn.ModuleList([Block(width), Block(width)])
        self.head = nn.Linear(width, classes)

    def forward(self, ids):
        present = ids != 0
        x = self.embedding(ids)
        for block in self.blocks:
            x = block(x, present)
        kept = present.unsqueeze(-1)
        return self.head((x * kept).sum(dim=1) / kept.sum(dim=1))


def add_lora(model, rank=4, alpha=8):
    model.embedding.requires_grad_(False)
    for block in model.blocks:
        block.norm.requires_grad_(False)
        block.query = LoRALinear(block.query, rank, alpha)
        block.value = LoRALinear(block.value, rank, alpha)
        block.key.requires_grad_(False)


def make_data():
    draw = torch.Generator().manual_seed(31)
    ids = torch.randint(1, 40, (60, 9), generator=draw)
    lengths = torch.randint(3, 10, (60,), generator=draw)
    ids = ids.masked_fill(torch.arange(9) >= lengths[:, None], 0)
    return ids, ids.sum(dim=1) % 4


torch.manual_seed(30)
model = Classifier()
add_lora(model)
ids, labels = make_data()
adapters = [p for name, p in model.named_parameters() if p.requires_grad and "head" not in name]
optimizer = torch.optim.AdamW(
    [
        {"params": adapters, "lr": 2e-2, "weight_decay": 0.0},
        {"params": model.head.parameters(), "lr": 5e-3, "weight_decay": 0.1},
    ]
)
total, warmup = 10, 2


def factor(step):
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
criterion = nn.CrossEntropyLoss(label_smoothing=0.05)
model.train()
step = 0
for epoch in range(2):
    for rows in torch.randperm(60).view(5, 12):
        loss = criterion(model(ids[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        step += 1
        print(step, loss.item())
