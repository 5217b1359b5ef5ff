"""Names by their letters: a recurrent network whose weights the script updates by itself."""

import torch
from torch import nn

torch.manual_seed(4)


class RNN(nn.Module):
    def __init__(self, letters, hidden, kinds):
        super().__init__()
        self.hidden = nn.Linear(letters + hidden, hidden)
        self.output = nn.Linear(hidden, kinds)

    def forward(self, letter, hidden):
        hidden = torch.tanh(self.hidden(torch.cat((letter, hidden), 1)))
        return self.output(hidden), hidden


rnn = RNN(5, 8, 2)
criterion = nn.CrossEntropyLoss()
learning_rate = 0.1

for step in range(6):
    word = torch.eye(5)[torch.randint(5, (4, 1))]
    kind = torch.tensor([step % 2])
    hidden = torch.zeros(1, 8)
    rnn.zero_grad()
    for letter in word:
        output, hidden = rnn(letter, hidden)
    loss = criterion(output, kind)
    loss.backward()
    for p in rnn.parameters():
        p.data.add_(p.grad.data, alpha=-learning_rate)
    print(f"step {step}: loss {loss.item():.6f}")
