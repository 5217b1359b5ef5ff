import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, TensorDataset


def houses(count=72):
    draw = torch.Generator().manual_seed(111)
    features = torch.rand(count, 5, generator=draw) * torch.tensor([200.0, 8, 60, 3, 1])
    price = 2.0 * features[:, 0] + 15 * features[:, 1] - features[:, 2] + 30 * features[:, 4]
    return features, (price + 20 * torch.randn(count, generator=draw)).unsqueeze(1)


def standardize(values):
    return (values - values.mean(dim=0)) / values.std(dim=0)


class Price(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(5, 24), nn.SiLU(), nn.Linear(24, 24), nn.SiLU())
        self.last = nn.Linear(24, 1)

    def forward(self, x):
        return self.last(self.layers(x))


features, prices = houses()
features, prices = standardize(features), standardize(prices)
torch.manual_seed(110)
model = Price()
optimizer = torch.optim.AdamW(
    model.parameters(), lr=1e-2, betas=(0.9, 0.99), eps=1e-6, weight_decay=0.05, foreach=False
)
scheduler = LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 5))
loader = DataLoader(
    TensorDataset(features, prices),
    batch_size=12,
    sampler=torch.randperm(72, generator=torch.Generator().manual_seed(112)).tolist(),
    generator=torch.Generator(),
)
criterion = nn.MSELoss()
for epoch in range(3):
    for x, y in loader:
        loss = criterion(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        print(epoch, loss.item())
