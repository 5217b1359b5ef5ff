import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Shapes(Dataset):
    def __init__(self, count):
        draw = torch.Generator().manual_seed(70)
        self.masks = (F.avg_pool2d(torch.rand(count, 1, 12, 12, generator=draw), 5, 1, 2) > 0.5).float()
        self.images = self.masks + 0.4 * torch.randn(count, 1, 12, 12, generator=draw)
        self.coin = torch.Generator().manual_seed(71)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        image, mask = self.images[index], self.masks[index]
        if torch.rand((), generator=self.coin) < 0.5:
            image, mask = image.flip(-1), mask.flip(-1)
        return image, mask


class Segmenter(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.middle = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.final = nn.Conv2d(12, 1, 1)

    def forward(self, x):
        kept = self.down(x)
        deep = F.interpolate(self.middle(F.max_pool2d(kept, 2)), scale_factor=2)
        return self.final(torch.cat([kept, deep], dim=1))


def dice(logits, masks):
    chances = logits.sigmoid()
    overlap = (chances * masks).sum(dim=(1, 2, 3))
    return (1 - (2 * overlap + 1) / (chances.sum(dim=(1, 2, 3)) + masks.sum(dim=(1, 2, 3)) + 1)).mean()


torch.manual_seed(72)
model = Segmenter()
optimizer = torch.optim.RMSprop(model.parameters(), lr=4e-3, momentum=0.5)
schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 4))
shapes = Shapes(40)
for epoch in range(2):
    order = torch.randperm(40, generator=torch.Generator().manual_seed(epoch)).tolist()
    loader = DataLoader(shapes, batch_size=8, sampler=order, generator=torch.Generator())
    for images, masks in loader:
        logits = model(images)
        loss = F.binary_cross_entropy_with_logits(logits, masks) + dice(logits, masks)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    print(epoch, loss.item())
