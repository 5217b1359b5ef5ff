import math

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader
from transformers import get_linear_schedule_with_warmup, set_seed

VOCABULARY, PAD, EPOCHS, WARMUP = 50, 0, 2, 3


def read_reviews(count, seed):
    """Texts as lists of tokens; words from 30 on are praise, words from 10 to 19 are blame."""
    draw = torch.Generator().manual_seed(seed)
    texts, stars = [], []
    for _ in range(count):
        length = int(torch.randint(4, 13, (), generator=draw))
        text = torch.randint(1, VOCABULARY, (length,), generator=draw)
        balance = int((text >= 30).sum() - 2 * ((text >= 10) & (text < 20)).sum())
        texts.append(text)
        stars.append(0 if balance < 0 else 1 if balance < 4 else 2)
    return texts, torch.tensor(stars)


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, 24, padding_idx=PAD)
        self.conv = nn.Conv1d(24, 32, 3, padding=1)
        self.norm = nn.LayerNorm(32)
        self.drop = nn.Dropout(0.2)
        self.out = nn.Linear(32, 3)

    def forward(self, ids):
        real = (ids != PAD).unsqueeze(-1)
        seen = torch.relu(self.conv(self.embed(ids).transpose(1, 2))).transpose(1, 2)
        pooled = (seen * real).sum(dim=1) / real.sum(dim=1)
        return self.out(self.drop(self.norm(pooled)))


texts, stars = read_reviews(44, seed=51)
set_seed(50)
model = Reader()
set_seed(50)

decayed = [p for name, p in model.named_parameters() if "bias" not in name and "norm" not in name]
spared = [p for name, p in model.named_parameters() if "bias" in name or "norm" in name]
optimizer = torch.optim.AdamW(
    [{"params": decayed, "weight_decay": 0.05}, {"params": spared, "weight_decay": 0.0}],
    lr=3e-3,
)
batches = math.ceil(len(texts) / 8)
scheduler = get_linear_schedule_with_warmup(optimizer, WARMUP, EPOCHS * batches)
model.train()
for epoch in range(EPOCHS):
    order = torch.randperm(len(texts), generator=torch.Generator().manual_seed(52 + epoch))
    for rows in DataLoader(order.tolist(), batch_size=8, collate_fn=list):
        ids = pad_sequence([texts[row] for row in rows], batch_first=True, padding_value=PAD)
        loss = nn.functional.cross_entropy(model(ids), stars[rows])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.8)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        print(epoch, round(loss.item(), 5))
