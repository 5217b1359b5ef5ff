import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Sensors(Dataset):
    """Readings with a kind, a size (which is sometimes unknown), and an alarm."""

    def __init__(self, count, seed):
        g = torch.Generator().manual_seed(seed)
        self.readings = torch.randn(count, 10, generator=g)
        mixing = torch.randn(10, 6, generator=g)
        hidden = self.readings @ mixing
        self.kinds = hidden[:, :4].argmax(dim=1)
        self.sizes = hidden[:, 4] + 0.1 * torch.randn(count, generator=g)
        self.known = torch.rand(count, generator=g) < 0.7
        self.alarms = (hidden[:, 5] > 2.0).float()

    def __len__(self):
        return len(self.readings)

    def __getitem__(self, index):
        return {
            "readings": self.readings[index],
            "kind": self.kinds[index],
            "size": self.sizes[index],
            "known": self.known[index],
            "alarm": self.alarms[index],
        }


class MultiTask(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Linear(10, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.15), nn.Linear(32, 16), nn.ReLU()
        )
        self.kind, self.size, self.alarm = nn.Linear(16, 4), nn.Linear(16, 1), nn.Linear(16, 1)
        self.log_variances = nn.Parameter(torch.zeros(3))

    def forward(self, readings):
        shared = self.trunk(readings)
        return self.kind(shared), self.size(shared).squeeze(1), self.alarm(shared).squeeze(1)

    def weighted(self, losses):
        stacked = torch.stack(losses)
        return (torch.exp(-self.log_variances) * stacked + self.log_variances).sum()


def losses_of(outputs, batch, alarm_weight):
    kind, size, alarm = outputs
    known = batch["known"].float()
    squared = (size - batch["size"]) ** 2
    return [
        nn.functional.cross_entropy(kind, batch["kind"]),
        (squared * known).sum() / known.sum().clamp(min=1),
        nn.functional.binary_cross_entropy_with_logits(alarm, batch["alarm"], pos_weight=alarm_weight),
    ]


torch.manual_seed(77)
accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
data = Sensors(72, seed=78)
model = MultiTask()
alarm_weight = (data.alarms == 0).sum() / data.alarms.sum()
optimizer = torch.optim.NAdam(
    [
        {"params": [p for name, p in model.named_parameters() if name != "log_variances"]},
        {"params": [model.log_variances], "lr": 5e-2},
    ],
    lr=4e-3,
)
shuffling = torch.Generator()
loader = DataLoader(data, batch_size=8, shuffle=True, generator=shuffling)
scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[4, 8], gamma=0.3)
model, optimizer, loader, scheduler = accelerator.prepare(model, optimizer, loader, scheduler)
model.train()
for epoch in range(2):
    shuffling.manual_seed(79 + epoch)
    for batch in loader:
        with accelerator.accumulate(model):
            loss = model.weighted(losses_of(model(batch["readings"]), batch, alarm_weight))
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(model.parameters(), 1.5)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
        print(epoch, loss.item())
