"""A stream of numbers without a length, read by two workers that share it."""

import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info


class Waves(IterableDataset):
    def __init__(self, start, end):
        super().__init__()
        self.start, self.end = start, end

    def __iter__(self):
        info = get_worker_info()
        first, stride = (
            (self.start, 1) if info is None else (self.start + info.id, info.num_workers)
        )
        for number in range(first, self.end, stride):
            time = torch.linspace(0, 1, 9) + 0.37 * number
            yield torch.sin(time[:8]), torch.sin(time[8:])


def main():
    torch.manual_seed(23)
    loader = DataLoader(Waves(0, 24), batch_size=4, num_workers=2)
    model = nn.GRU(1, 12, batch_first=True)
    head = nn.Linear(12, 1)
    optimizer = torch.optim.NAdam([*model.parameters(), *head.parameters()], lr=5e-3)
    for epoch in range(2):
        for series, following in loader:
            states, _ = model(series.unsqueeze(-1))
            loss = nn.functional.l1_loss(head(states[:, -1]), following)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: loss {loss.item():.6f}")


if __name__ == "__main__":
    main()
