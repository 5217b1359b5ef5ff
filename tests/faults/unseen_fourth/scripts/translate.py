import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

PAD, START, STOP, WORDS = 0, 1, 2, 26


def sentences(count, seed):
    """A sentence and its translation: the words in reverse order, each moved on by one."""
    draw = torch.Generator().manual_seed(seed)
    for _ in range(count):
        length = int(torch.randint(3, 8, (), generator=draw))
        source = torch.randint(3, WORDS - 1, (length,), generator=draw)
        target = torch.cat([torch.tensor([START]), source.flip(0) + 1, torch.tensor([STOP])])
        yield source, target


class Encoder(nn.Module):
    def __init__(self, width=24):
        super().__init__()
        self.embed = nn.Embedding(WORDS, width, padding_idx=PAD)
        self.gru = nn.GRU(width, width, batch_first=True)

    def forward(self, source):
        return self.gru(self.embed(source))


class Decoder(nn.Module):
    def __init__(self, width=24):
        super().__init__()
        self.embed = nn.Embedding(WORDS, width, padding_idx=PAD)
        self.gru = nn.GRU(width, width, batch_first=True)
        self.out = nn.Linear(2 * width, WORDS)

    def forward(self, tokens, memory, mask, state):
        seen, _ = self.gru(self.embed(tokens), state)
        scores = seen @ memory.transpose(1, 2)
        scores = scores.masked_fill(~mask[:, None, :], float("-inf"))
        return self.out(torch.cat([seen, scores.softmax(dim=-1) @ memory], dim=-1))


torch.manual_seed(120)
encoder, decoder = Encoder(), Decoder()
parameters = list(encoder.parameters()) + list(decoder.parameters())
optimizer = torch.optim.Adam(parameters, lr=1e-2, betas=(0.9, 0.98), eps=1e-9)
scheduler = torch.optim.lr_scheduler.LambdaLR(
    optimizer, lambda n: min((n + 1) ** -0.5, (n + 1) * 4**-1.5) * 4**0.5
)
criterion = nn.CrossEntropyLoss(ignore_index=PAD)
rows = list(sentences(40, seed=121))
for epoch in range(3):
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(122 + epoch))
    for batch in order.split(10):
        source = pad_sequence([rows[i][0] for i in batch], batch_first=True, padding_value=PAD)
        target = pad_sequence([rows[i][1] for i in batch], batch_first=True, padding_value=PAD)
        memory, state = encoder(source)
        logits = decoder(target[:, :-1], memory, source != PAD, state)
        loss = criterion(logits.transpose(1, 2), target[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        scheduler.step()
        print(epoch, loss.item())
