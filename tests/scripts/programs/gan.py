"""A generative adversarial network on points of a ring: two networks, two optimizers."""

import math

import torch
import torch.nn as nn
import torch.optim as optim
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(999)

nz = 4
batch_size = 16
num_epochs = 1
real_label, fake_label = 1.0, 0.0


def weights_init(module):
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.1)


netG = nn.Sequential(
    nn.Linear(nz, 32), nn.BatchNorm1d(32), nn.ReLU(True), nn.Linear(32, 2), nn.Tanh()
)
netG.apply(weights_init)
netD = nn.Sequential(nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1), nn.Sigmoid())
netD.apply(weights_init)

angle = torch.rand(80) * 2 * math.pi
points = 0.8 * torch.stack([angle.cos(), angle.sin()], dim=1)
dataloader = DataLoader(TensorDataset(points), batch_size=batch_size, shuffle=True)

criterion = nn.BCELoss()
fixed_noise = torch.randn(8, nz)
optimizerD = optim.Adam(netD.parameters(), lr=2e-3, betas=(0.5, 0.999))
optimizerG = optim.Adam(netG.parameters(), lr=2e-3, betas=(0.5, 0.999))

for epoch in range(num_epochs):
    for i, (real,) in enumerate(dataloader):
        # Update the discriminator: maximize log(D(x)) + log(1 - D(G(z)))
        netD.zero_grad()
        label = torch.full((real.size(0),), real_label)
        output = netD(real).view(-1)
        errD_real = criterion(output, label)
        errD_real.backward()

        noise = torch.randn(real.size(0), nz)
        fake = netG(noise)
        label.fill_(fake_label)
        output = netD(fake.detach()).view(-1)
        errD_fake = criterion(output, label)
        errD_fake.backward()
        optimizerD.step()

        # Update the generator: maximize log(D(G(z)))
        netG.zero_grad()
        label.fill_(real_label)
        output = netD(fake).view(-1)
        errG = criterion(output, label)
        errG.backward()
        optimizerG.step()

        print(f"[{i}] Loss_D: {(errD_real + errD_fake).item():.4f} Loss_G: {errG.item():.4f}")

with torch.no_grad():
    print(netG(fixed_noise).norm(dim=1).mean().item())
