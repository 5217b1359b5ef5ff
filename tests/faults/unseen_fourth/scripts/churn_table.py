import csv
import random
import tempfile
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset

PLANS = ("basic", "family", "business")


def write_table(path):
    """Customers: months, calls (-999 if unknown), bill, plan, and whether they left."""
    draw = random.Random(181)
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["months", "calls", "bill", "plan", "left"])
        for _ in range(90):
            months, calls, bill = draw.randint(1, 60), draw.randint(0, 9), draw.uniform(10, 90)
            plan = draw.choice(PLANS)
            score = calls - months / 12 + bill / 30 - 2 * (plan == "family")
            known = draw.random() < 0.8
            table.writerow([months, calls if known else -999, f"{bill:.2f}", plan, int(score > 3)])


def read_table(path):
    features, plans, left = [], [], []
    with path.open() as file:
        for row in csv.DictReader(file):
            features.append([float(row[name]) for name in ("months", "calls", "bill")])
            plans.append(PLANS.index(row["plan"]))
            left.append(float(row["left"]))
    numbers = torch.tensor(features)
    numbers[numbers == -999] = float("nan")
    return numbers, torch.tensor(plans), torch.tensor(left)


def scaled(numbers, rows):
    """Unknown values become the mean; mean and spread are those of the training rows."""
    known = numbers[rows]
    mean = known.nanmean(dim=0)
    spread = (known - mean).pow(2).nanmean(dim=0).sqrt()
    return torch.nan_to_num((numbers - mean) / spread, nan=0.0)


class Churn(nn.Module):
    def __init__(self):
        super().__init__()
        self.plan = nn.Embedding(len(PLANS), 4)
        self.layers = nn.Sequential(nn.Linear(7, 24), nn.ReLU(), nn.Dropout(0.2), nn.Linear(24, 1))

    def forward(self, numbers, plans):
        return self.layers(torch.cat([numbers, self.plan(plans)], dim=1)).squeeze(1)


with tempfile.TemporaryDirectory() as folder:
    write_table(Path(folder) / "customers.csv")
    numbers, plans, left = read_table(Path(folder) / "customers.csv")
torch.manual_seed(180)
shuffled = torch.randperm(len(left))
train_rows, held_rows = shuffled[:72], shuffled[72:]
data = TensorDataset(scaled(numbers, train_rows), plans, left)
loader = DataLoader(Subset(data, train_rows.tolist()), batch_size=12, shuffle=True)
model = Churn()
optimizer = torch.optim.Adagrad(model.parameters(), lr=0.05)
weight = (left[train_rows] == 0).sum() / left[train_rows].sum()
criterion = nn.BCEWithLogitsLoss(pos_weight=weight)
for epoch in range(3):
    model.train()
    for numbers_of, plans_of, left_of in loader:
        loss = criterion(model(numbers_of, plans_of), left_of)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        guess = model(data.tensors[0][held_rows], plans[held_rows]) > 0
    print(epoch, loss.item(), (guess == left[held_rows].bool()).float().mean().item())
