import math

import torch
import torch.nn.functional as F

torch.manual_seed(22)
t = torch.arange(140.0)
wobble = torch.randn(140, generator=torch.Generator().manual_seed(5))
values = torch.sin(2 * math.pi * t / 12) + 0.02 * t + 0.1 * wobble
values = (values - values[:100].mean()) / values[:100].std()
pieces = values[:100].unfold(0, 20, 1)
x, y = pieces[:, :16], pieces[:, 16:]
later = values[100:].unfold(0, 20, 1)

net = torch.nn.LSTM(1, 20, num_layers=2, batch_first=True)
head = torch.nn.Linear(20, 4)
parameters = [*net.parameters(), *head.parameters()]
adam = torch.optim.AdamW(parameters, lr=3e-2, weight_decay=0.02)


def predict(past, training):
    hidden = net(past.unsqueeze(-1))[0][:, -1]
    return head(F.dropout(hidden, 0.2, training=training))


best = math.inf
for epoch in range(4):
    shuffled = torch.randperm(81, generator=torch.Generator().manual_seed(epoch))
    for rows in shuffled.split(30):
        guess = predict(x[rows], training=True)
        cost = F.smooth_l1_loss(guess, y[rows], beta=0.5)
        cost.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 0.3)
        adam.step()
        adam.zero_grad()
        print(epoch, cost.item())
    with torch.no_grad():
        errors = [
            (predict(piece[None, :16], training=False) - piece[16:]).abs().mean() for piece in later
        ]
        error = torch.stack(errors).mean().item()
    if error < best:
        best = error
    else:
        adam.param_groups[0]["lr"] *= 0.5
