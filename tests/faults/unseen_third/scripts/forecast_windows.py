import math

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

PAST, AHEAD = 16, 4


class Windows(Dataset):
    """Pieces of a series: the past, and what comes ahead."""

    def __init__(self, series):
        self.series = series

    def __len__(self):
        return len(self.series) - PAST - AHEAD + 1

    def __getitem__(self, start):
        middle = start + PAST
        return self.series[start:middle, None], self.series[middle : middle + AHEAD]


class Forecaster(nn.Module):
    def __init__(self, hidden=20):
        super().__init__()
        self.lstm = nn.LSTM(1, hidden, num_layers=2, batch_first=True)
        self.dropout = nn.Dropout(0.2)
        self.output = nn.Linear(hidden, AHEAD)

    def forward(self, past):
        states, _ = self.lstm(past)
        return self.output(self.dropout(states[:, -1]))


def load_series():
    time = torch.arange(140.0)
    noise = torch.randn(140, generator=torch.Generator().manual_seed(5))
    series = torch.sin(2 * math.pi * time / 12) + 0.02 * time + 0.1 * noise
    known = series[:100]
    return (series - known.mean()) / known.std()


def main():
    torch.manual_seed(22)
    series = load_series()
    train_set, held_out = Windows(series[:100]), Windows(series[100:])
    model = Forecaster()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-2, weight_decay=0.02)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0, threshold=0.0)
    criterion = nn.SmoothL1Loss(beta=0.5)
    for epoch in range(4):
        order = torch.randperm(len(train_set), generator=torch.Generator().manual_seed(epoch)).tolist()
        loader = DataLoader(train_set, batch_size=30, sampler=order, generator=torch.Generator())
        model.train()
        for past, future in loader:
            optimizer.zero_grad()
            loss = criterion(model(past), future)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.3)
            optimizer.step()
            print(f"epoch {epoch} loss {loss.item():.9f}")
        model.eval()
        with torch.no_grad():
            pairs = [held_out[start] for start in range(len(held_out))]
            errors = [(model(past[None]) - future).abs().mean() for past, future in pairs]
        plateau.step(torch.stack(errors).mean().item())


if __name__ == "__main__":
    main()
