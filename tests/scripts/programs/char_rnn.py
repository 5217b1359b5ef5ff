"""A character-level LSTM, with back-propagation through time cut after each chunk."""

import torch
import torch.nn as nn

torch.manual_seed(21)

text = "she sells sea shells by the sea shore and the shells she sells are sea shells " * 8
chars = sorted(set(text))
encoded = torch.tensor([chars.index(c) for c in text])

batch, chunk = 4, 12
columns = encoded[: len(encoded) // batch * batch].view(batch, -1)


class CharRNN(nn.Module):
    def __init__(self, n_hidden=24, n_layers=2, drop_prob=0.2):
        super().__init__()
        self.embedding = nn.Embedding(len(chars), 12)
        self.lstm = nn.LSTM(12, n_hidden, n_layers, dropout=drop_prob, batch_first=True)
        self.fc = nn.Linear(n_hidden, len(chars))

    def forward(self, x, hidden=None):
        out, hidden = self.lstm(self.embedding(x), hidden)
        return self.fc(out), hidden


net = CharRNN()
net.train()
criterion = nn.CrossEntropyLoss()
opt = torch.optim.SGD(net.parameters(), lr=0.5)
clip = 0.005

hidden = None
for step in range(8):
    start = step * chunk
    inputs = columns[:, start : start + chunk]
    targets = columns[:, start + 1 : start + 1 + chunk]
    if hidden is not None:
        hidden = tuple(state.detach() for state in hidden)

    opt.zero_grad()
    output, hidden = net(inputs, hidden)
    loss = criterion(output.reshape(-1, len(chars)), targets.reshape(-1))
    loss.backward()
    nn.utils.clip_grad_value_(net.parameters(), clip)
    opt.step()
    print(f"step {step}: loss {loss.item():.5f}")
