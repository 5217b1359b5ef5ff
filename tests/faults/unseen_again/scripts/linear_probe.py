import torch
from torch import nn

torch.manual_seed(66)
signals = torch.randn(64, 1, 32).cumsum(dim=2) * 0.3
targets = (signals[:, 0, -1] > signals[:, 0, 0]).float()

backbone = nn.Sequential(
    nn.Conv1d(1, 8, 5, stride=2), nn.BatchNorm1d(8), nn.ReLU(),
    nn.Conv1d(8, 16, 5, stride=2), nn.BatchNorm1d(16), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(),
)
with torch.no_grad():  # stands for a pretraining: the norms get statistics
    for _ in range(20):
        backbone(torch.randn(16, 1, 32).cumsum(dim=2) * 0.3)


class Probe(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body.requires_grad_(False)
        self.head = nn.Linear(16, 1)

    def train(self, mode=True):
        super().train(mode)
        self.body.eval()
        return self

    def forward(self, x):
        return self.head(self.body(x)).squeeze(1)


probe = Probe(backbone)
optimizer = torch.optim.Adam(probe.head.parameters(), lr=0.02)
criterion = nn.BCEWithLogitsLoss()
probe.train()
for epoch in range(2):
    order = torch.randperm(len(signals))
    for first in range(0, len(order), 16):
        rows = order[first : first + 16]
        optimizer.zero_grad()
        loss = criterion(probe(signals[rows]), targets[rows])
        loss.backward()
        optimizer.step()
    print(epoch, loss.item())
