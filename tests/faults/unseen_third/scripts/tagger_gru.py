import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

TAGS = ["other", "begin", "inside"]
TAG_ID = {tag: number for number, tag in enumerate(TAGS)}
IGNORE = -1


def sentences(count):
    draw = torch.Generator().manual_seed(41)
    found = []
    for _ in range(count):
        words = torch.randint(1, 35, (int(torch.randint(3, 13, (), generator=draw)),), generator=draw)
        tags = []
        for place, word in enumerate(words.tolist()):
            begins = word % 5 == 0
            goes_on = place > 0 and tags[-1] != "other" and word % 2 == 0
            tags.append("begin" if begins else "inside" if goes_on else "other")
        found.append((words, torch.tensor([TAG_ID[tag] for tag in tags])))
    return found


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(35, 16, padding_idx=0)
        self.gru = nn.GRU(16, 12, batch_first=True, bidirectional=True)
        self.query = nn.Linear(24, 24)
        self.output = nn.Linear(48, len(TAGS))

    def forward(self, words, lengths):
        packed = pack_padded_sequence(self.embedding(words), lengths, batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True)
        scores = self.query(states) @ states.transpose(1, 2)
        scores = scores.masked_fill(words[:, None, :] == 0, -1e9)
        context = scores.softmax(dim=-1) @ states
        return self.output(torch.cat([states, context], dim=-1))


def collate(rows):
    words = pad_sequence([words for words, _ in rows], batch_first=True)
    tags = pad_sequence([tags for _, tags in rows], batch_first=True, padding_value=IGNORE)
    lengths = torch.tensor([len(words) for words, _ in rows])
    return words, lengths, tags


torch.manual_seed(40)
model = Tagger()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
criterion = nn.CrossEntropyLoss(weight=torch.tensor([0.5, 1.0, 1.5]), ignore_index=IGNORE)
data = sentences(50)
for epoch in range(2):
    order = torch.randperm(50).tolist()
    for start in range(0, 50, 10):
        words, lengths, tags = collate([data[row] for row in order[start : start + 10]])
        logits = model(words, lengths)
        loss = criterion(logits.flatten(0, 1), tags.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
        print(epoch, start, loss.item())
