import copy

import torch
from torch import nn
from torch.nn import functional as F

GAMMA, TAU, NOISE = 0.97, 0.05, 0.2


def transitions(count):
    """A cart on a rail: place and speed, a push, and the cost of being off the middle."""
    draw = torch.Generator().manual_seed(191)
    state = torch.randn(count, 2, generator=draw)
    push = 2 * torch.rand(count, 1, generator=draw) - 1
    speed = state[:, 1:] + 0.2 * push
    after = torch.cat([state[:, :1] + 0.1 * speed, speed], dim=1)
    reward = -after[:, 0].pow(2) - 0.1 * push.squeeze(1).pow(2)
    done = (after[:, 0].abs() > 1.5).float()
    return state, push, reward, after, done


class Critics(nn.Module):
    """Two value functions of a state and an action."""

    def __init__(self):
        super().__init__()
        self.one = nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 1))
        self.two = nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, state, push):
        both = torch.cat([state, push], dim=1)
        return self.one(both).squeeze(1), self.two(both).squeeze(1)


def policy(state):
    """The controller that is judged."""
    return torch.tanh(-state[:, :1] - 0.8 * state[:, 1:])


torch.manual_seed(190)
critics = Critics()
targets = copy.deepcopy(critics).requires_grad_(False)
optimizer = torch.optim.Adam(critics.parameters(), lr=3e-3)
memory = transitions(256)
draw = torch.Generator().manual_seed(192)
for update in range(20):
    rows = torch.randint(0, 256, (32,), generator=draw)
    state, push, reward, after, done = (column[rows] for column in memory)
    with torch.no_grad():
        noise = NOISE * torch.randn(push.shape, generator=draw)
        chosen = (policy(after) + noise.clamp(-0.5, 0.5)).clamp(-1, 1)
        future = torch.min(*targets(after, chosen))
        wanted = reward + GAMMA * (1 - done) * future
    one, two = critics(state, push)
    loss = F.mse_loss(one, wanted) + F.mse_loss(two, wanted)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        for slow, fast in zip(targets.parameters(), critics.parameters()):
            slow.mul_(1 - TAU).add_(TAU * fast)
    print(update, loss.item())
