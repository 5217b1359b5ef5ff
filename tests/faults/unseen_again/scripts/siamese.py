import copy

import torch
import torch.nn.functional as F
from torch import nn

torch.manual_seed(77)
centres = torch.randn(6, 10)
who = torch.arange(6).repeat(10)
points = centres[who] + 0.5 * torch.randn(60, 10)

tower = nn.Sequential(nn.Linear(10, 32), nn.Tanh(), nn.Linear(32, 6))
twin = tower
optimizer = torch.optim.Adagrad(tower.parameters(), lr=0.02)


def distances(anchors, others):
    return (F.normalize(anchors, dim=1) - F.normalize(others, dim=1)).pow(2).sum(dim=1)


for step in range(10):
    rows = torch.randperm(60)[:12]
    same = torch.rand(12) < 0.5
    partners = []
    for row, wanted in zip(rows.tolist(), same.tolist()):
        fits = (who == who[row]) if wanted else (who != who[row])
        candidates = fits.nonzero().flatten()
        partners.append(candidates[torch.randint(len(candidates), ())])
    d = distances(tower(points[rows]), twin(points[torch.stack(partners)]))
    loss = torch.where(same, d, F.relu(1.0 - (d + 1e-9).sqrt()).pow(2)).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"{step} {loss.item():.5f}")
