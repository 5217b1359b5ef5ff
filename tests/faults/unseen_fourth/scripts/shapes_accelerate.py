import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader, Dataset, Sampler

MEAN, STD = 0.5, 0.25


class Bars(Dataset):
    def __init__(self, count, seed):
        draw = torch.Generator().manual_seed(seed)
        self.images = torch.randint(0, 90, (count, 1, 12, 12), generator=draw).float()
        self.labels = torch.randint(0, 4, (count,), generator=draw)
        for image, label in zip(self.images, self.labels.tolist()):
            place = 3 if label < 2 else 8
            line = image[0, place] if label % 2 else image[0, :, place]
            line += 150

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        image = self.images[index] / 255
        image -= MEAN
        image /= STD
        return image, self.labels[index]


class EpochShuffle(Sampler):
    def __init__(self, size, seed):
        self.size, self.seed, self.epoch = size, seed, 0

    def __len__(self):
        return self.size

    def __iter__(self):
        draw = torch.Generator().manual_seed(self.seed + self.epoch)
        yield from torch.randperm(self.size, generator=draw).tolist()


class SmallNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 16, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(16)
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Linear(16 * 9, 4)

    def forward(self, x):
        x = self.pool(torch.relu(self.norm1(self.conv1(x))))
        x = self.pool(torch.relu(self.norm2(self.conv2(x))))
        return self.head(x.flatten(1))


def accuracy(model, loader):
    model.eval()
    with torch.no_grad():
        hits = [(model(images).argmax(dim=1) == labels).float() for images, labels in loader]
    return torch.cat(hits).mean().item()


accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
train_set, held_set = Bars(60, seed=31), Bars(20, seed=32)
sampler = EpochShuffle(len(train_set), seed=33)
train_loader = DataLoader(train_set, batch_size=8, sampler=sampler, generator=torch.Generator())
held_loader = DataLoader(held_set, batch_size=20, generator=torch.Generator())
torch.manual_seed(30)
model = SmallNet()
criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, nesterov=True, weight_decay=5e-4)
scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.05, total_steps=12, pct_start=0.25)
model, optimizer, train_loader, held_loader, scheduler = accelerator.prepare(
    model, optimizer, train_loader, held_loader, scheduler
)
for epoch in range(3):
    model.train()
    sampler.epoch = epoch
    for images, labels in train_loader:
        with accelerator.accumulate(model):
            loss = criterion(model(images), labels)
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(model.parameters(), 2.0)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
    accelerator.print(epoch, accuracy(model, held_loader))
