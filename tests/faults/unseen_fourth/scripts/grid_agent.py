import copy
import random
from collections import deque

import torch
from torch import nn


class Grid:
    """A walk on a 4 x 4 board from a corner to the opposite one; one field is a pit."""

    moves = ((0, 1), (1, 0), (0, -1), (-1, 0))

    def __init__(self):
        self.reset()

    def reset(self):
        self.row = self.column = self.time = 0
        return self.observe()

    def observe(self):
        seen = torch.zeros(16)
        seen[4 * self.row + self.column] = 1.0
        return seen

    def step(self, action):
        down, right = self.moves[action]
        self.row = min(3, max(0, self.row + down))
        self.column = min(3, max(0, self.column + right))
        self.time += 1
        if (self.row, self.column) == (3, 3):
            return self.observe(), 1.0, True
        if (self.row, self.column) == (1, 2):
            return self.observe(), -1.0, True
        return self.observe(), -0.02, self.time >= 20


class Agent:
    def __init__(self, gamma=0.95, steps=2, sync=4):
        self.online = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
        self.target = copy.deepcopy(self.online).requires_grad_(False)
        self.optimizer = torch.optim.Adam(self.online.parameters(), lr=5e-3)
        self.memory, self.recent = deque(maxlen=400), deque(maxlen=steps)
        self.gamma, self.steps, self.sync = gamma, steps, sync
        self.updates, self.draw = 0, random.Random(81)

    def act(self, seen, epsilon):
        if self.draw.random() < epsilon:
            return self.draw.randrange(4)
        with torch.no_grad():
            return int(self.online(seen).argmax())

    def remember(self, seen, action, reward, after, done):
        self.recent.append((seen, action, reward))
        if len(self.recent) == self.steps:
            gain = sum(self.gamma**i * r for i, (_, _, r) in enumerate(self.recent))
            first = self.recent[0]
            self.memory.append((first[0], first[1], gain, after, float(done)))
        if done:
            self.recent.clear()

    def learn(self, batch=32):
        seen, actions, gains, after, done = zip(*self.draw.sample(list(self.memory), batch))
        values = self.online(torch.stack(seen)).gather(1, torch.tensor(actions)[:, None]).squeeze(1)
        with torch.no_grad():
            best = self.online(torch.stack(after)).argmax(dim=1, keepdim=True)
            future = self.target(torch.stack(after)).gather(1, best).squeeze(1)
            kept = 1.0 - torch.tensor(done)
            wanted = torch.tensor(gains) + self.gamma**self.steps * kept * future
        loss = nn.functional.huber_loss(values, wanted, delta=0.5)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.online.parameters(), 0.1)
        self.optimizer.step()
        self.updates += 1
        if self.updates % self.sync == 0:
            self.target.load_state_dict(self.online.state_dict())
        return loss.item()


torch.manual_seed(80)
world, agent = Grid(), Agent()
seen = world.reset()
for time in range(200):
    action = agent.act(seen, epsilon=max(0.2, 1.0 - time / 150))
    after, reward, done = world.step(action)
    agent.remember(seen, action, reward, after, done)
    seen = world.reset() if done else after
    if time >= 100 and time % 6 == 0:
        print(time, agent.learn())
