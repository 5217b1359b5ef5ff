"""A network without modules: the parameters are bare tensors, the model is a function."""

import torch
import torch.nn.functional as F

generator = torch.Generator().manual_seed(9)


def matrix(rows, columns):
    values = torch.randn(rows, columns, generator=generator) / columns**0.5
    return torch.nn.Parameter(values)


w1, b1 = matrix(20, 4), torch.nn.Parameter(torch.zeros(20))
w2, b2 = matrix(2, 20), torch.nn.Parameter(torch.zeros(2))


def network(x):
    hidden = torch.relu(F.linear(x, w1, b1))
    return F.linear(hidden, w2, b2)


data = torch.randn(36, 4, generator=generator)
label = (data[:, 0] * data[:, 1] > 0).long()

optimizer = torch.optim.SGD([w1, b1, w2, b2], lr=0.2, momentum=0.9)
for epoch in range(2):
    order = torch.randperm(len(data), generator=generator)
    for rows in order.split(9):
        loss = F.cross_entropy(network(data[rows]), label[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch}: loss {loss.item():.6f}")
