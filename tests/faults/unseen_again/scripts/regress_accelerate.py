import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch.utils.data import DataLoader, Dataset, Sampler


class Products(Dataset):
    def __init__(self, rows):
        self.inputs = torch.randn(rows, 5)
        self.targets = (self.inputs[:, :1] * self.inputs[:, 1:2]).tanh() + 0.05 * torch.randn(rows, 1)

    def __len__(self):
        return len(self.inputs)

    def __getitem__(self, index):
        return {"inputs": self.inputs[index], "targets": self.targets[index]}


class EpochShuffle(Sampler):
    def __init__(self, length):
        self.length, self.epoch = length, 0

    def __len__(self):
        return self.length

    def __iter__(self):
        generator = torch.Generator().manual_seed(self.epoch)
        self.epoch += 1
        return iter(torch.randperm(self.length, generator=generator).tolist())


class Regressor(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(5, 20)
        self.dropout = torch.nn.Dropout(0.1)
        self.last = torch.nn.Linear(20, 1)

    def forward(self, inputs):
        return self.last(self.dropout(torch.relu(self.first(inputs))))


torch.manual_seed(808)
accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
dataset = Products(66)
regressor = Regressor()
loader = DataLoader(dataset, batch_size=6, sampler=EpochShuffle(66), generator=torch.Generator())
optimizer = torch.optim.AdamW(regressor.parameters(), lr=1e-2, weight_decay=0.1)
decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda update: max(0.0, 1.0 - update / 12))
regressor, optimizer, loader, decay = accelerator.prepare(regressor, optimizer, loader, decay)

regressor.train()
for epoch in range(2):
    for batch in loader:
        with accelerator.accumulate(regressor):
            predicted = regressor(batch["inputs"])
            loss = F.mse_loss(predicted, batch["targets"])
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(regressor.parameters(), 0.2)
            optimizer.step()
            decay.step()
            optimizer.zero_grad()
    accelerator.print(f"{epoch}: {loss.item()}")
