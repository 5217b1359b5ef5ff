import torch
from torch import nn

QUERIES, LONGEST, FEATURES = 40, 8, 6


class Scorer(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(FEATURES, 24), nn.ReLU(), nn.Dropout(0.1), nn.Linear(24, 1))

    def forward(self, documents):
        return self.layers(documents).squeeze(-1)


def listwise(scores, relevance, present):
    """The cross-entropy between the distributions of relevance and scores over each list (ListNet)."""
    target = relevance.masked_fill(~present, -torch.inf).softmax(dim=1)
    log_p = scores.masked_fill(~present, -torch.inf).log_softmax(dim=1)
    return -(target * log_p.masked_fill(~present, 0.0)).sum(dim=1).mean()


torch.manual_seed(220)
documents = torch.randn(QUERIES, LONGEST, FEATURES)
lengths = torch.randint(3, LONGEST + 1, (QUERIES,))
present = torch.arange(LONGEST) < lengths[:, None]
documents = documents * present[..., None]
relevance = (documents[..., 0] + documents[..., 1].abs()).mul(2).round().clamp(0, 4)
scorer = Scorer()
optimizer = torch.optim.Adagrad(scorer.parameters(), lr=5e-2)
scaler_mean, scaler_std = documents[present].mean(dim=0), documents[present].std(dim=0)
for step in range(10):
    if step % 5 == 0:
        order = torch.randperm(QUERIES)
    rows = order[step % 5 * 8 : step % 5 * 8 + 8]
    inputs = (documents[rows] - scaler_mean) / scaler_std
    loss = listwise(scorer(inputs), relevance[rows], present[rows])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(step, loss.item())
