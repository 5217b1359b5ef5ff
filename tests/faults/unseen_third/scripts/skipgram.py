import torch
from torch import nn
from torch.nn.functional import logsigmoid

WORDS, WIDTH, NEGATIVES, WINDOW = 30, 12, 4, 2


class SkipGram(nn.Module):
    def __init__(self, counts):
        super().__init__()
        self.centre = nn.Embedding(WORDS, WIDTH)
        self.context = nn.Embedding(WORDS, WIDTH)
        nn.init.uniform_(self.centre.weight, -0.5 / WIDTH, 0.5 / WIDTH)
        nn.init.normal_(self.context.weight, std=0.1)
        self.register_buffer("noise", counts.float() ** 0.75)

    def forward(self, words, contexts):
        drawn = torch.multinomial(self.noise, len(words) * NEGATIVES, replacement=True)
        v = self.centre(words)
        positive = (v * self.context(contexts)).sum(dim=-1)
        negative = (self.context(drawn.view(-1, NEGATIVES)) @ v.unsqueeze(-1)).squeeze(-1)
        return -(logsigmoid(positive) + logsigmoid(-negative).sum(dim=-1)).mean()


def pairs_of(text):
    found = []
    for place, word in enumerate(text):
        for other in range(max(0, place - WINDOW), min(len(text), place + WINDOW + 1)):
            if other != place:
                found.append((word, text[other]))
    return torch.tensor(found)


torch.manual_seed(140)
steps = torch.randint(-3, 4, (120,))
text = (steps.cumsum(dim=0) % WORDS).tolist()
pairs = pairs_of(text)
model = SkipGram(torch.bincount(torch.tensor(text), minlength=WORDS))
optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
total = 10
order = torch.randperm(len(pairs))
for step in range(total):
    words, contexts = pairs[order[step * 40 : step * 40 + 40]].T
    for group in optimizer.param_groups:
        group["lr"] = 0.5 * max(1e-2, 1 - step / total)
    loss = model(words, contexts)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(step, loss.item())
