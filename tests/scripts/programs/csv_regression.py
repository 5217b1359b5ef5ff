"""Predict the rent of a flat from a CSV file: pandas reads it, a small network fits it."""

import csv
import random
import tempfile
from pathlib import Path

import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def write_flats(path):
    rng = random.Random(3)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["area", "rooms", "distance", "rent"])
        for number in range(40):
            area, rooms, distance = rng.uniform(20, 120), rng.randint(1, 5), rng.uniform(0, 15)
            rent = 9.5 * area + 40 * rooms - 12 * distance
            writer.writerow([f"{area:.2f}", rooms, f"{distance:.2f}", f"{rent:.2f}"])


with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "flats.csv"
    write_flats(path)
    table = pd.read_csv(path)

features = table[["area", "rooms", "distance"]]
features = (features - features.mean()) / features.std()
x = torch.tensor(features.to_numpy(), dtype=torch.float32)
y = torch.tensor(table[["rent"]].to_numpy() / 1000, dtype=torch.float32)

torch.manual_seed(6)
loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
model = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

for epoch in range(2):
    for features, target in loader:
        loss = nn.functional.huber_loss(model(features), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch}: loss {loss.item():.6f}")
