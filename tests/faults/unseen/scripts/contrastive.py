import torch
from torch import nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(13)
left = torch.randn(64, 12)
right = left + 0.3 * torch.randn(64, 12)
tower = nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 8))
temperature = nn.Parameter(torch.tensor(0.07).log())
optimizer = torch.optim.Adam([*tower.parameters(), temperature], lr=1e-3)
warmup = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=4)
decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=12)
scheduler = torch.optim.lr_scheduler.SequentialLR(optimizer, [warmup, decay], milestones=[4])
for epoch in range(2):
    for a, b in DataLoader(TensorDataset(left, right), batch_size=8, shuffle=True, drop_last=True):
        one, two = F.normalize(tower(a), dim=1), F.normalize(tower(b), dim=1)
        scores = one @ two.T / temperature.exp()
        labels = torch.arange(len(a))
        loss = (F.cross_entropy(scores, labels) + F.cross_entropy(scores.T, labels)) / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
    print(epoch, loss.item())
