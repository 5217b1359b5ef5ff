import torch
from torch import nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

import random

random.seed(4)
torch.manual_seed(4)
policy = nn.Sequential(nn.Linear(4, 24), nn.ReLU(), nn.Linear(24, 2))
target = nn.Sequential(nn.Linear(4, 24), nn.ReLU(), nn.Linear(24, 2))
target.load_state_dict(policy.state_dict())
optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-3, amsgrad=True)
memory = []
state = torch.randn(4)
for step in range(40):
    action = random.randrange(2) if random.random() < 0.3 else int(policy(state).argmax())
    following = 0.9 * state + 0.2 * torch.randn(4)
    reward = float(following[action] - following[1 - action])
    memory.append((state, action, reward, following))
    state = following
    if len(memory) < 16:
        continue
    states, actions, rewards, nexts = zip(*random.sample(memory, 8))
    values = policy(torch.stack(states)).gather(1, torch.tensor(actions)[:, None]).squeeze(1)
    with torch.no_grad():
        best = target(torch.stack(nexts)).max(dim=1).values
    loss = F.smooth_l1_loss(values, torch.tensor(rewards) + 0.95 * best)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_value_(policy.parameters(), 0.05)
    optimizer.step()
    for slow, fast in zip(target.parameters(), policy.parameters()):
        slow.data.lerp_(fast.data, 0.05)
print(loss.item())
