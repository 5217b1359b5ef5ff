import math

import torch
from torch import nn


def load_curve(hours=340):
    """Demand of a town by the hour: two waves, a trend, and noise."""
    draw = torch.Generator().manual_seed(71)
    t = torch.arange(hours).float()
    day, week = torch.sin(2 * math.pi * t / 24), torch.sin(2 * math.pi * t / 168)
    return 40 + 9 * day + 4 * week + 0.03 * t + torch.randn(hours, generator=draw)


class Forecaster(nn.Module):
    def __init__(self, hidden=20):
        super().__init__()
        self.lstm = nn.LSTM(1, hidden, batch_first=True)
        self.drop = nn.Dropout(0.1)
        self.out = nn.Linear(hidden, 1)

    def forward(self, x, state=None):
        seen, state = self.lstm(x.unsqueeze(-1), state)
        return self.out(self.drop(seen)).squeeze(-1), state


class Trainer:
    """Truncated backpropagation through time over parallel pieces of one long series."""

    def __init__(self, series, streams=4, window=12, held=48):
        known = series[:-held]
        mean, std = known.mean(), known.std()
        scaled = (series - mean) / std
        length = (len(known) - 1) // streams
        self.pieces = scaled[: length * streams + 1].unfold(0, length + 1, length)
        self.held = scaled[-held:].unsqueeze(0)
        self.window, self.length = window, length
        self.model = Forecaster()
        self.optimizer = torch.optim.RMSprop(self.model.parameters(), lr=4e-3, momentum=0.5)
        self.scheduler = torch.optim.lr_scheduler.ExponentialLR(self.optimizer, gamma=0.6)

    def validate(self):
        self.model.eval()
        with torch.no_grad():
            guess, _ = self.model(self.held[:, :-1])
            error = nn.functional.smooth_l1_loss(guess, self.held[:, 1:])
        self.model.train()
        return error.item()

    def epoch(self):
        state = None
        for start in range(0, self.length - self.window + 1, self.window):
            x = self.pieces[:, start : start + self.window]
            y = self.pieces[:, start + 1 : start + self.window + 1]
            guess, state = self.model(x, state)
            loss = nn.functional.smooth_l1_loss(guess, y)
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_value_(self.model.parameters(), 0.2)
            self.optimizer.step()
            state = tuple(part.detach() for part in state)
            if start == 2 * self.window:
                print("validation", self.validate())
        self.scheduler.step()

    def fit(self, epochs):
        self.model.train()
        for _ in range(epochs):
            self.epoch()


torch.manual_seed(70)
Trainer(load_curve()).fit(epochs=3)
