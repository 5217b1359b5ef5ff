"""Transfer learning in two phases: first the head, then all layers with a lower rate."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(44)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(1, 6, 3), nn.BatchNorm1d(6), nn.ReLU(), nn.AdaptiveAvgPool1d(4), nn.Flatten()
        )
        self.head = nn.Linear(24, 3)

    def forward(self, x):
        return self.head(self.body(x))


signals = torch.randn(32, 1, 16)
classes = signals.squeeze(1).split([5, 5, 6], dim=1)
classes = torch.stack([part.mean(dim=1) for part in classes], dim=1).argmax(dim=1)
loader = DataLoader(TensorDataset(signals, classes), batch_size=8, shuffle=True)

model = Net()
criterion = nn.CrossEntropyLoss()


def fit(optimizer, phase):
    for inputs, labels in loader:
        optimizer.zero_grad()
        loss = criterion(model(inputs), labels)
        loss.backward()
        optimizer.step()
    print(f"{phase}: loss {loss.item():.6f}")


for param in model.body.parameters():
    param.requires_grad = False
fit(torch.optim.Adam(model.head.parameters(), lr=1e-2), "head only")

for param in model.body.parameters():
    param.requires_grad = True
fit(torch.optim.Adam(model.parameters(), lr=1e-3), "all layers")
