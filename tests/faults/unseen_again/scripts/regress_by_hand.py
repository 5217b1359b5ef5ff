import torch
from torch import nn

torch.manual_seed(808)
x = torch.randn(66, 5)
y = (x[:, :1] * x[:, 1:2]).tanh() + 0.05 * torch.randn(66, 1)
net = nn.Sequential(nn.Linear(5, 20), nn.ReLU(), nn.Dropout(0.1), nn.Linear(20, 1))
adam = torch.optim.AdamW(net.parameters(), lr=1e-2, weight_decay=0.1)

every, size, peak, updates = 2, 6, 1e-2, 12
net.train()
done = 0
for epoch in range(2):
    order = torch.randperm(66, generator=torch.Generator().manual_seed(epoch)).tolist()
    pieces = [order[i : i + size] for i in range(0, 66, size)]
    for number, piece in enumerate(pieces, start=1):
        error = net(x[piece]) - y[piece]
        loss = (error**2).mean() / every
        loss.backward()
        if number % every == 0 or number == len(pieces):
            torch.nn.utils.clip_grad_norm_(net.parameters(), 0.2)
            adam.param_groups[0]["lr"] = peak * max(0.0, 1.0 - done / updates)
            adam.step()
            adam.zero_grad()
            done += 1
    print("epoch", epoch, "last loss", loss.item() * every)
