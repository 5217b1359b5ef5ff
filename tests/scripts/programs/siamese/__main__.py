"""Train on pairs of noisy pictures that show the same shape or another one."""

import random

import torch
from torch.utils.data import DataLoader, Dataset

from .network import ContrastiveLoss, SiameseNetwork


class Pairs(Dataset):
    def __init__(self, count):
        generator = torch.Generator().manual_seed(11)
        self.shapes = (torch.rand(3, 1, 8, 8, generator=generator) > 0.5).float()
        self.noise = 0.1 * torch.randn(count, 2, 1, 8, 8, generator=generator)

    def __len__(self):
        return len(self.noise)

    def __getitem__(self, index):
        first = index % 3
        different = random.randint(0, 1)
        second = (first + random.randint(1, 2)) % 3 if different else first
        left = self.shapes[first] + self.noise[index, 0]
        right = self.shapes[second] + self.noise[index, 1]
        return left, right, torch.tensor(float(different))


def main():
    random.seed(4)
    torch.manual_seed(4)
    loader = DataLoader(Pairs(32), batch_size=8, shuffle=True)
    net = SiameseNetwork()
    criterion = ContrastiveLoss(margin=2.0)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)

    for epoch in range(2):
        for left, right, different in loader:
            optimizer.zero_grad()
            loss = criterion(net(left), net(right), different)
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: loss {loss.item():.5f}")


if __name__ == "__main__":
    main()
