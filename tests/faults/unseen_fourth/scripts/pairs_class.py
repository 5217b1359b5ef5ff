import math

import torch
from torch import nn
from torch.nn import functional as F


class PairedViews:
    """Two kinds of features of the same things: what is seen, and tokens that describe it."""

    def __init__(self, count=56):
        draw = torch.Generator().manual_seed(101)
        self.kinds = torch.randint(0, 12, (count,), generator=draw)
        self.seen = F.one_hot(self.kinds, 12).float() @ torch.randn(12, 16, generator=draw)
        self.seen += 0.3 * torch.randn(count, 16, generator=draw)
        others = torch.randint(12, 30, (count, 3), generator=draw)
        self.tokens = torch.cat([self.kinds[:, None], others], dim=1)

    def epoch(self, number, size=14):
        order = torch.randperm(len(self.kinds), generator=torch.Generator().manual_seed(102 + number))
        for rows in order.split(size):
            yield self.seen[rows], self.tokens[rows]


class TwoTowers(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.visual = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, width))
        self.words = nn.EmbeddingBag(30, 24, mode="mean")
        self.project = nn.Linear(24, width, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, seen, tokens):
        a = F.normalize(self.visual(seen), dim=-1)
        b = F.normalize(self.project(self.words(tokens)), dim=-1)
        return self.logit_scale.exp() * a @ b.t()


def symmetric_loss(logits):
    labels = torch.arange(len(logits))
    loss_seen = F.cross_entropy(logits, labels)
    loss_words = F.cross_entropy(logits.t(), labels)
    return (loss_seen + loss_words) / 2


torch.manual_seed(100)
data, model = PairedViews(), TwoTowers()
no_decay = [p for p in model.parameters() if p.ndim < 2]
decay = [p for p in model.parameters() if p.ndim >= 2]
optimizer = torch.optim.AdamW(
    [{"params": decay, "weight_decay": 0.2}, {"params": no_decay, "weight_decay": 0.0}],
    lr=4e-3,
    betas=(0.9, 0.98),
    eps=1e-6,
)
warm = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.25, total_iters=4)
for epoch in range(4):
    for seen, tokens in data.epoch(epoch):
        loss = symmetric_loss(model(seen, tokens))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        warm.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(20))
        print(epoch, loss.item(), model.logit_scale.exp().item())
