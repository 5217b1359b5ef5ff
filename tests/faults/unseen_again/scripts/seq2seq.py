import random

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence

PAD, START, END, SIZE = 0, 1, 2, 14
random.seed(12)
torch.manual_seed(12)


class Reverser(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(SIZE, 16, padding_idx=PAD)
        self.encoder = nn.GRU(16, 20, batch_first=True)
        self.decoder = nn.GRUCell(16, 20)
        self.out = nn.Linear(20, SIZE)

    def forward(self, source, lengths, target, forced):
        packed = pack_padded_sequence(self.embed(source), lengths, batch_first=True, enforce_sorted=False)
        hidden = self.encoder(packed)[1][0]
        token, outputs = torch.full((len(source),), START), []
        for place in range(target.shape[1]):
            hidden = self.decoder(self.embed(token), hidden)
            outputs.append(self.out(hidden))
            token = target[:, place] if forced else outputs[-1].argmax(dim=1)
        return torch.stack(outputs, dim=1)


pairs = []
for _ in range(48):
    words = [random.randrange(3, SIZE) for _ in range(random.randint(2, 6))]
    pairs.append((torch.tensor(words), torch.tensor([*reversed(words), END])))

model = Reverser()
optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
criterion = nn.CrossEntropyLoss(ignore_index=PAD)
model.train()
for epoch in range(2):
    random.shuffle(pairs)
    for first in range(0, len(pairs), 8):
        rows = pairs[first : first + 8]
        source = pad_sequence([a for a, _ in rows], batch_first=True, padding_value=PAD)
        target = pad_sequence([b for _, b in rows], batch_first=True, padding_value=PAD)
        lengths = torch.tensor([len(a) for a, _ in rows])
        forced = random.random() < 0.75
        logits = model(source, lengths, target, forced)
        loss = criterion(logits.transpose(1, 2), target)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    print(epoch, loss.item())
