import math

import torch
from torch.nn.functional import cross_entropy, dropout

N, F_IN, WIDE, KINDS = 60, 12, 16, 3

torch.manual_seed(8)
seeded = torch.Generator().manual_seed(7)
kinds = torch.randint(KINDS, (N,), generator=seeded)
same = kinds.unsqueeze(1) == kinds.unsqueeze(0)
drawn = torch.rand(N, N, generator=seeded)
upper = torch.triu((drawn < (0.03 + 0.17 * same.double()).float()).float(), 1)
A = upper + upper.T
A.fill_diagonal_(1)
d = A.sum(dim=1).sqrt()
A = A / torch.outer(d, d)
X = torch.randn(N, F_IN, generator=seeded)
for node in range(N):
    X[node, kinds[node]] += 1.0
shuffled = torch.randperm(N, generator=seeded)
train_rows, val_rows = shuffled[:30].sort().values, shuffled[30:45].sort().values


def glorot(rows, columns):
    a = math.sqrt(6 / (rows + columns))
    return torch.empty(rows, columns).uniform_(-a, a).requires_grad_()


W1, b1 = glorot(F_IN, WIDE), torch.zeros(WIDE, requires_grad=True)
W2, b2 = glorot(WIDE, KINDS), torch.zeros(KINDS, requires_grad=True)
weights = [W1, b1, W2, b2]


def run(training):
    h = torch.relu(A @ (dropout(X, 0.5, training) @ W1) + b1)
    return A @ (dropout(h, 0.5, training) @ W2) + b2


def fit(steps, lr, best, kept):
    decayed = {"params": [W1, b1], "weight_decay": 0.05}
    adam = torch.optim.Adam([decayed, {"params": [W2, b2]}], lr=lr)
    for _ in range(steps):
        loss = cross_entropy(run(True)[train_rows], kinds[train_rows])
        loss.backward()
        adam.step()
        for w in weights:
            w.grad = None
        with torch.no_grad():
            score = float(cross_entropy(run(False)[val_rows], kinds[val_rows]))
        print(f"{loss.item():.9f} {score:.9f}")
        if score < best:
            best = score
            kept = [w.detach().clone() for w in weights]
    return best, kept


best, kept = fit(7, 0.3, math.inf, None)
with torch.no_grad():
    for w, k in zip(weights, kept):
        w.copy_(k)
fit(5, 0.01, best, kept)
