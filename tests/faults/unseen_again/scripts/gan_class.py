import torch
from torch import nn


class Rings:
    """A generator and a discriminator of points on a ring."""

    def __init__(self, seed):
        torch.manual_seed(seed)
        angles = torch.rand(80) * 6.2832
        self.points = torch.stack([angles.sin(), angles.cos()], dim=1)
        self.g = nn.Sequential(nn.Linear(3, 24), nn.LeakyReLU(0.1), nn.Linear(24, 2))
        self.d = nn.Sequential(nn.Linear(2, 24), nn.LeakyReLU(0.1), nn.Linear(24, 1))
        self.bce = nn.BCEWithLogitsLoss()
        self.g_optimizer = torch.optim.Adam(self.g.parameters(), lr=2e-3, betas=(0.5, 0.9))
        self.d_optimizer = torch.optim.Adam(self.d.parameters(), lr=2e-3, betas=(0.5, 0.9))

    def noise(self, count):
        return torch.randn(count, 3)

    def judge(self, points, verdict):
        scores = self.d(points)
        return self.bce(scores, torch.full_like(scores, verdict))

    def discriminator_step(self, real):
        with torch.no_grad():
            fake = self.g(self.noise(len(real)))
        loss = self.judge(real, 1.0) + self.judge(fake, 0.0)
        self.d_optimizer.zero_grad()
        loss.backward()
        self.d_optimizer.step()
        return loss.item()

    def generator_step(self, count):
        loss = self.judge(self.g(self.noise(count)), 1.0)
        self.g_optimizer.zero_grad()
        loss.backward()
        self.g_optimizer.step()
        return loss.item()

    def train(self, steps):
        for step in range(steps):
            real = self.points[torch.randint(80, (10,))]
            print(step, self.discriminator_step(real), self.generator_step(len(real)))


Rings(99).train(6)
