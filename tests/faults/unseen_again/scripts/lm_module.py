import torch
import torch.nn.functional as F
from torch import nn


class Mixer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm_a = nn.LayerNorm(width)
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.norm_b = nn.LayerNorm(width)
        self.up = nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)

    def forward(self, x):
        h = self.norm_a(x)
        scores = self.query(h) @ self.key(h).transpose(1, 2) / 4.0
        future = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        x = x + scores.masked_fill(future, float("-inf")).softmax(dim=-1) @ self.value(h)
        return x + self.down(F.silu(self.up(self.norm_b(x))))


class LanguageModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(18, 16)
        self.positions = nn.Parameter(torch.randn(10, 16) * 0.1)
        self.layer = Mixer(16)
        self.norm = nn.LayerNorm(16)

    def forward(self, ids):
        x = self.layer(self.words(ids) + self.positions)
        return F.linear(self.norm(x), self.words.weight)


torch.manual_seed(55)
model = LanguageModel()
text = torch.randint(18, (9, 64), generator=torch.Generator().manual_seed(56)).cumsum(dim=1) % 18
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, betas=(0.9, 0.98))
scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9)
for step in range(9):
    window = text[:, step * 6 : step * 6 + 11]
    optimizer.zero_grad()
    logits = model(window[:, :-1])
    loss = F.cross_entropy(logits.flatten(0, 1), window[:, 1:].flatten())
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    scheduler.step()
    print(step, loss.item())
