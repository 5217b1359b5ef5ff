import torch
from torch import nn
from torch.nn import functional as F

PEOPLE, PICTURES, MARGIN = 6, 4, 0.3


def faces(people=12, each=6):
    draw = torch.Generator().manual_seed(161)
    centres = torch.randn(people, 20, generator=draw)
    return centres[:, None, :] + 0.7 * torch.randn(people, each, 20, generator=draw)


class Embedder(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(20, 32), nn.BatchNorm1d(32), nn.PReLU())
        self.out = nn.Linear(32, 8, bias=False)

    def forward(self, x):
        return F.normalize(self.out(self.body(x)), dim=1)


def batch_hard(embedded, who):
    """For each picture the farthest of the same person and the nearest of another."""
    squares = (embedded[:, None] - embedded[None, :]).pow(2).sum(dim=-1)
    distances = (squares + 1e-9).sqrt()
    same = who[:, None] == who[None, :]
    farthest = distances.masked_fill(~same, 0.0).amax(dim=1)
    nearest = distances.masked_fill(same, float("inf")).amin(dim=1)
    return F.relu(farthest - nearest + MARGIN).mean()


def sample(pictures, draw):
    chosen = torch.randperm(len(pictures), generator=draw)[:PEOPLE]
    parts, who = [], []
    for person in chosen.tolist():
        shown = torch.randperm(pictures.shape[1], generator=draw)[:PICTURES]
        parts.append(pictures[person, shown])
        who += [person] * PICTURES
    return torch.cat(parts), torch.tensor(who)


torch.manual_seed(160)
pictures, model = faces(), Embedder()
optimizer = torch.optim.SGD(
    [
        {"params": model.body.parameters()},
        {"params": model.out.parameters(), "lr": 0.5},
    ],
    lr=0.1,
    momentum=0.8,
)
draw = torch.Generator().manual_seed(162)
for step in range(16):
    x, who = sample(pictures, draw)
    loss = batch_hard(model(x), who)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(step, loss.item())
