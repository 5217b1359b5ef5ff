import torch
from torch import nn
from torch.nn import functional as F

IGNORE, WORDS, ACCUMULATION = -100, 24, 3


def dialogues(count, seed=201):
    """A question, then an answer that counts on from its last word; only answers are learned."""
    draw = torch.Generator().manual_seed(seed)
    rows = []
    for _ in range(count):
        asked, told = torch.randint(2, 8, (2,), generator=draw).tolist()
        question = torch.randint(1, WORDS, (asked,), generator=draw).tolist()
        answer = [1 + (question[-1] + step) % (WORDS - 1) for step in range(told)]
        rows.append((question, answer))
    return rows


def collate(rows):
    longest = max(len(question) + len(answer) for question, answer in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    labels = torch.full((len(rows), longest), IGNORE)
    for number, (question, answer) in enumerate(rows):
        whole = len(question) + len(answer)
        ids[number, :whole] = torch.tensor(question + answer)
        labels[number, len(question) : whole] = torch.tensor(answer)
    return ids, labels


class LanguageModel(nn.Module):
    def __init__(self, width=28):
        super().__init__()
        self.embed = nn.Embedding(WORDS, width)
        self.gru = nn.GRU(width, width, num_layers=2, dropout=0.1, batch_first=True)
        self.head = nn.Linear(width, WORDS, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids):
        return self.head(self.gru(self.embed(ids))[0])


torch.manual_seed(200)
rows, model = dialogues(54), LanguageModel()
optimizer = torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.9)
for epoch in range(4):
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(202 + epoch))
    batches = [collate([rows[i] for i in part]) for part in order.split(6)]
    for start in range(0, len(batches), ACCUMULATION):
        window = batches[start : start + ACCUMULATION]
        tokens = sum((labels[:, 1:] != IGNORE).sum() for _, labels in window)
        total = 0.0
        optimizer.zero_grad()
        for ids, labels in window:
            logits = model(ids)[:, :-1]
            loss = F.cross_entropy(
                logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORE, reduction="sum"
            )
            loss = loss / tokens
            loss.backward()
            total += loss.item()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        print(epoch, total)
