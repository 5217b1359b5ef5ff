import torch
from torch import nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(17)
text = torch.randint(12, (4, 61))
embed = nn.Embedding(12, 16)
rnn = nn.LSTM(16, 24, batch_first=True)
out = nn.Linear(24, 12)
parameters = [*embed.parameters(), *rnn.parameters(), *out.parameters()]
optimizer = torch.optim.Adam(parameters, lr=5e-3)

state = None
for step in range(10):
    start = step * 6
    x, y = text[:, start : start + 6], text[:, start + 1 : start + 7]
    hidden, state = rnn(embed(x), state)
    state = tuple(s.detach() for s in state)
    loss = F.cross_entropy(out(hidden).flatten(0, 1), y.flatten())
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(parameters, 0.25)
    optimizer.step()
    print(step, loss.item())
