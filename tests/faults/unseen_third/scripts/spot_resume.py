"""A run that is interrupted halfway: the second process goes on from the checkpoint of the first."""
import io
import random

import torch
from torch import nn

STEPS, STOP = 12, 6


class Run:
    def __init__(self):
        torch.manual_seed(160)
        random.seed(160)
        self.x = torch.randn(64, 8)
        self.y = (self.x[:, :3].prod(dim=1) > 0).long()
        self.model = nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 2))
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=2e-2, amsgrad=True)
        self.scheduler = torch.optim.lr_scheduler.ExponentialLR(self.optimizer, gamma=0.85)
        self.step = 0

    def save(self):
        file = io.BytesIO()
        torch.save(
            {
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scheduler": self.scheduler.state_dict(),
                "step": self.step,
                "torch": torch.get_rng_state(),
                "python": random.getstate(),
            },
            file,
        )
        return file.getvalue()

    def load(self, saved):
        state = torch.load(io.BytesIO(saved), weights_only=False)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.step = state["step"]
        torch.set_rng_state(state["torch"])
        random.setstate(state["python"])

    def train(self, until):
        self.model.train()
        while self.step < until:
            rows = random.sample(range(64), 16)
            loss = nn.functional.cross_entropy(self.model(self.x[rows]), self.y[rows])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.scheduler.step()
            self.step += 1
            print(self.step, loss.item())


first = Run()
first.train(STOP)
checkpoint = first.save()
second = Run()
second.load(checkpoint)
second.train(STEPS)
