import math

import torch
from torch import nn
from torch.nn import functional as F

STREAMS, WINDOW, HELD = 4, 12, 48

noise = torch.Generator().manual_seed(71)
hours = torch.arange(340).float()
demand = 40 + 9 * torch.sin(2 * math.pi * hours / 24) + 4 * torch.sin(2 * math.pi * hours / 168)
demand = demand + 0.03 * hours + torch.randn(340, generator=noise)

train_part = demand[:-HELD]
scaled = (demand - train_part.mean()) / train_part.std()
span = (len(train_part) - 1) // STREAMS
inputs = scaled[: span * STREAMS].view(STREAMS, span)
targets = scaled[1 : span * STREAMS + 1].view(STREAMS, span)
held = scaled[-HELD:]

torch.manual_seed(70)
lstm, out = nn.LSTM(1, 20), nn.Linear(20, 1)
weights = [*lstm.parameters(), *out.parameters()]
optimizer = torch.optim.RMSprop(weights, lr=4e-3, momentum=0.5)


def predict(series, h, c, training):
    """series: time x streams."""
    seen, (h, c) = lstm(series[:, :, None], (h, c))
    seen = F.dropout(seen.transpose(0, 1), 0.1, training)
    return out(seen).squeeze(2), h, c


step = 0
for epoch in range(3):
    for group in optimizer.param_groups:
        group["lr"] = 4e-3 * 0.6**epoch
    h = c = torch.zeros(1, STREAMS, 20)
    for x, y in zip(inputs.split(WINDOW, dim=1), targets.split(WINDOW, dim=1)):
        if x.shape[1] < WINDOW:
            continue
        guess, h, c = predict(x.t(), h.detach(), c.detach(), training=True)
        loss = F.smooth_l1_loss(guess, y)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_value_(weights, 0.2)
        optimizer.step()
        step += 1
        print(step, loss.item())
    with torch.no_grad():
        zero = torch.zeros(1, 1, 20)
        guess, _, _ = predict(held[:-1, None], zero, zero, training=False)
        print("held out", F.smooth_l1_loss(guess[0], held[1:]).item())
