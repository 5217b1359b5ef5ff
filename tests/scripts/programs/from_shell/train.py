"""Classify points on spirals. The learning rate comes from the environment."""

import argparse
import os

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Spirals(Dataset):
    def __init__(self, count=48, classes=3):
        generator = torch.Generator().manual_seed(0)
        self.labels = torch.arange(count) % classes
        radius = torch.rand(count, generator=generator)
        angle = 4 * radius + 2 * torch.pi * self.labels / classes
        self.points = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return {"point": self.points[index], "label": self.labels[index]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", choices=["spirals"], required=True)
    parser.add_argument("--epochs", type=int, default=1)
    options = parser.parse_args()

    torch.manual_seed(14)
    loader = DataLoader(Spirals(), batch_size=12, shuffle=True)
    model = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 3))
    optimizer = torch.optim.RMSprop(model.parameters(), lr=float(os.environ["LEARNING_RATE"]))
    for epoch in range(options.epochs):
        for batch in loader:
            loss = nn.functional.cross_entropy(model(batch["point"]), batch["label"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: loss {loss.item():.6f}")


if __name__ == "__main__":
    main()
