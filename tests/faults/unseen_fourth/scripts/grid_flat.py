import random

import torch
from torch.nn import functional as F

GAMMA, SYNC = 0.95, 4
MOVES = {0: (0, 1), 1: (1, 0), 2: (0, -1), 3: (-1, 0)}

torch.manual_seed(80)
first, second = torch.nn.Linear(16, 32), torch.nn.Linear(32, 4)
online = [first.weight, first.bias, second.weight, second.bias]
frozen = [w.detach().clone() for w in online]
adam = torch.optim.Adam(online, lr=5e-3)
rng = random.Random(81)


def q_values(fields, w):
    boards = F.one_hot(torch.as_tensor(fields), 16).float()
    return F.linear(torch.relu(F.linear(boards, w[0], w[1])), w[2], w[3])


def walk(field, action, time):
    """The next field, its reward, and whether the episode ends."""
    row, column = divmod(field, 4)
    row = min(3, max(0, row + MOVES[action][0]))
    column = min(3, max(0, column + MOVES[action][1]))
    field = 4 * row + column
    if field == 15:
        return field, 1.0, True
    if field == 6:
        return field, -1.0, True
    return field, -0.02, time == 20


memory, last, updates = [], None, 0
field, age = 0, 0
for time in range(200):
    epsilon = max(0.2, 1.0 - time / 150)
    if rng.random() < epsilon:
        action = rng.randrange(4)
    else:
        with torch.no_grad():
            action = int(q_values(field, online).argmax())
    age += 1
    after, reward, done = walk(field, action, age)
    if last is not None:
        memory.append((last[0], last[1], last[2] + GAMMA * reward, after, float(done)))
    last = None if done else (field, action, reward)
    field, age = (0, 0) if done else (after, age)

    if time < 100 or time % 6:
        continue
    batch = rng.sample(memory, 32)
    fields, actions, gains, nexts, ends = (list(column) for column in zip(*batch))
    with torch.no_grad():
        choice = q_values(nexts, online).argmax(dim=1)
        future = q_values(nexts, frozen)[torch.arange(32), choice]
        wanted = torch.tensor(gains) + GAMMA**2 * (1.0 - torch.tensor(ends)) * future
    taken = q_values(fields, online)[torch.arange(32), torch.tensor(actions)]
    loss = F.huber_loss(taken, wanted, delta=0.5)
    adam.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(online, 0.1)
    adam.step()
    updates += 1
    if updates % SYNC == 0:
        frozen = [w.detach().clone() for w in online]
    print(updates, loss.item())
