import torch
from torch import nn
from torch.nn import functional as F


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv1d(2, 12, 5, padding=2), nn.BatchNorm1d(12)
        self.conv2, self.bn2 = nn.Conv1d(12, 16, 5, stride=2, padding=2), nn.BatchNorm1d(16)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x))).mean(dim=2)


def waves(count, classes, seed):
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (count,), generator=draw)
    t = torch.arange(24) / 24
    tones = torch.sin(6.28 * (labels[:, None] + 1) * t + 3 * torch.rand(count, 1, generator=draw))
    x = torch.stack([tones, tones.roll(3, dims=1)], dim=1)
    return x + 0.4 * torch.randn(count, 2, 24, generator=draw), labels


def batches(x, labels, seed):
    for rows in torch.randperm(len(x), generator=torch.Generator().manual_seed(seed)).split(8):
        yield x[rows], labels[rows]


torch.manual_seed(170)
backbone, old_head = Backbone(), nn.Linear(16, 5)
pretraining = torch.optim.Adam([*backbone.parameters(), *old_head.parameters()], lr=1e-2)
for x, labels in batches(*waves(48, 5, seed=171), seed=172):
    loss = F.cross_entropy(old_head(backbone(x)), labels)
    pretraining.zero_grad()
    loss.backward()
    pretraining.step()

head = nn.Linear(16, 3)
backbone.requires_grad_(False)
optimizer = torch.optim.AdamW(head.parameters(), lr=2e-2)
x_new, labels_new = waves(40, 3, seed=173)
for epoch in range(3):
    backbone.eval()
    if epoch == 1:
        backbone.conv2.requires_grad_(True)
        optimizer.add_param_group({"params": backbone.conv2.parameters(), "lr": 2e-3})
    for x, labels in batches(x_new, labels_new, seed=174 + epoch):
        loss = F.cross_entropy(head(backbone(x)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(epoch, loss.item())
