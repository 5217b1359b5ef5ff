import torch
from torch import nn
from torch.nn import functional as F

torch.manual_seed(600)
STEPS = 30
betas = torch.linspace(1e-3, 0.12, STEPS)
alpha_bar = (1 - betas).cumprod(dim=0)
angles = torch.rand(96) * 6.2832
data = torch.stack([angles.cos(), angles.sin()], dim=1) + 0.05 * torch.randn(96, 2)


class Denoiser(nn.Module):
    def __init__(self):
        super().__init__()
        self.time = nn.Embedding(STEPS, 16)
        self.body = nn.Sequential(nn.Linear(18, 32), nn.SiLU(), nn.Linear(32, 32), nn.SiLU(), nn.Linear(32, 2))

    def forward(self, x, t):
        return self.body(torch.cat([x, self.time(t)], dim=1))


net = Denoiser()
optimizer = torch.optim.NAdam(net.parameters(), lr=4e-3)
for epoch in range(2):
    for rows in torch.randperm(len(data)).split(16):
        clean = data[rows]
        t = torch.randint(STEPS, (len(clean),))
        noise = torch.randn_like(clean)
        level = alpha_bar[t].unsqueeze(1)
        noised = level.sqrt() * clean + (1 - level).sqrt() * noise
        loss = F.mse_loss(net(noised, t), noise)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    print(epoch, loss.item())
