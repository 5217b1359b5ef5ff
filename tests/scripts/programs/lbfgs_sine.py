"""Fit a sine wave with L-BFGS: the optimizer evaluates the loss through a closure."""

import torch
from torch import nn

torch.manual_seed(5)

x = torch.linspace(-3, 3, 40).unsqueeze(1)
y = torch.sin(2 * x)

model = nn.Sequential(nn.Linear(1, 12), nn.Tanh(), nn.Linear(12, 12), nn.Tanh(), nn.Linear(12, 1))
criterion = nn.MSELoss()
optimizer = torch.optim.LBFGS(model.parameters(), lr=0.8, max_iter=4, history_size=10)

for step in range(4):

    def closure():
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        return loss

    loss = optimizer.step(closure)
    print(f"step {step}: loss {loss.item():.6f}")

with torch.no_grad():
    print(f"final loss {criterion(model(x), y).item():.6f}")
