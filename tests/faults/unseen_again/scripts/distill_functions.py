from functools import partial

import torch
import torch.nn.functional as F

T, SHARE = 3.0, 0.7


def forward_teacher(layers, x, training):
    hidden = F.dropout(F.relu(layers[0](x)), 0.2, training)
    return layers[1](hidden)


def soft_targets(teach, x):
    with torch.no_grad():
        return F.softmax(teach(x) / T, dim=-1)


def objective(net, targets, x, y):
    out = net(x)
    kl = F.kl_div(F.log_softmax(out / T, dim=-1), targets, reduction="batchmean")
    return SHARE * (kl * T**2) + (1 - 0.7) * F.cross_entropy(out, y)


def main():
    torch.manual_seed(14)
    inputs, answers = torch.randn(60, 7), torch.randint(4, (60,))
    big = torch.nn.ModuleList([torch.nn.Linear(7, 40), torch.nn.Linear(40, 4)])
    small = torch.nn.Sequential(torch.nn.Linear(7, 10), torch.nn.ReLU(), torch.nn.Linear(10, 4))
    teach = partial(forward_teacher, big, training=False)
    sgd = torch.optim.SGD(small.parameters(), lr=0.1, momentum=0.8, weight_decay=1e-3)
    for epoch in range(2):
        generator = torch.Generator()
        generator.manual_seed(100 + epoch)
        permutation = torch.randperm(60, generator=generator)
        for chosen in permutation.chunk(5):
            x, y = inputs[chosen], answers[chosen]
            value = objective(small, soft_targets(teach, x), x, y)
            sgd.zero_grad(set_to_none=False)
            value.backward()
            sgd.step()
        print("epoch", epoch, value.item())


main()
