import copy
import tempfile
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F


def network():
    return nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 2))


def moons(count, seed):
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 2, (count,), generator=draw)
    angles = 3.14 * torch.rand(count, generator=draw)
    x = torch.cos(angles) * (1 - 2 * labels) + labels
    y = torch.sin(angles) * (1 - 2 * labels) + 0.5 * labels
    return torch.stack([x, y], dim=1) + 0.1 * torch.randn(count, 2, generator=draw), labels


class SemiSupervised:
    """A few labelled points; a slow teacher whose guesses the student follows on all points."""

    def __init__(self):
        self.model = network()
        self.teacher = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=2e-2, weight_decay=1e-2)
        self.scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, T_max=12)
        self.points, self.labels = moons(80, seed=141)
        self.draw, self.step = torch.Generator().manual_seed(142), 0

    def update(self):
        known = torch.randint(0, 16, (8,), generator=self.draw)
        any_rows = torch.randint(0, 80, (24,), generator=self.draw)
        supervised = F.cross_entropy(self.model(self.points[known]), self.labels[known])
        with torch.no_grad():
            guesses = self.teacher(self.points[any_rows]).softmax(dim=1)
        followed = F.mse_loss(self.model(self.points[any_rows]).softmax(dim=1), guesses)
        loss = supervised + 2.0 * followed
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.scheduler.step()
        with torch.no_grad():
            for slow, fast in zip(self.teacher.parameters(), self.model.parameters()):
                slow.lerp_(fast, 0.1)
        self.step += 1
        print(self.step, loss.item())

    def save(self, path):
        torch.save(
            {
                "model": self.model.state_dict(),
                "teacher": self.teacher.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scheduler": self.scheduler.state_dict(),
                "draw": self.draw.get_state(),
                "torch": torch.get_rng_state(),
                "step": self.step,
            },
            path,
        )

    def load(self, path):
        saved = torch.load(path, weights_only=True)
        self.model.load_state_dict(saved["model"])
        self.teacher.load_state_dict(saved["teacher"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.scheduler.load_state_dict(saved["scheduler"])
        self.draw.set_state(saved["draw"])
        torch.set_rng_state(saved["torch"])
        self.step = saved["step"]


with tempfile.TemporaryDirectory() as folder:
    checkpoint = Path(folder) / "last.pt"
    torch.manual_seed(140)
    training = SemiSupervised()
    while training.step < 6:
        training.update()
    training.save(checkpoint)
    training = SemiSupervised()
    training.load(checkpoint)
    while training.step < 12:
        training.update()
