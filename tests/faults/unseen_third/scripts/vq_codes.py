import torch
from torch import nn
from torch.nn import functional as F


class Codebook(nn.Module):
    def __init__(self, codes, width, commitment=0.25):
        super().__init__()
        self.commitment = commitment
        self.codes = nn.Embedding(codes, width)
        nn.init.uniform_(self.codes.weight, -1.0, 1.0)

    def forward(self, z):
        nearest = torch.cdist(z, self.codes.weight).argmin(dim=-1)
        q = self.codes(nearest)
        loss = F.mse_loss(q, z.detach()) + self.commitment * F.mse_loss(z, q.detach())
        return z + (q - z).detach(), loss


class VQ(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(12, 32), nn.ELU(), nn.Linear(32, 6))
        self.codebook = Codebook(16, 6)
        self.decoder = nn.Sequential(nn.Linear(6, 32), nn.ELU(), nn.Linear(32, 12))

    def forward(self, x):
        q, loss = self.codebook(self.encoder(x))
        return self.decoder(q), loss


torch.manual_seed(120)
centres = torch.randn(5, 12)
data = centres[torch.randint(5, (80,))] + 0.2 * torch.randn(80, 12)
model = VQ()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
for epoch in range(2):
    for rows in torch.randperm(80).split(16):
        rebuilt, codebook_loss = model(data[rows])
        loss = F.mse_loss(rebuilt, data[rows]) + codebook_loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(epoch, loss.item())
