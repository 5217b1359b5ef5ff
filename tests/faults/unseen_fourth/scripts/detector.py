import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset


class Squares(Dataset):
    """One square in each picture; a 4 x 4 board of cells tells where it is."""

    def __init__(self, count=48):
        draw = torch.Generator().manual_seed(131)
        self.images = 0.2 * torch.rand(count, 1, 16, 16, generator=draw)
        self.boxes = torch.zeros(count, 3)
        for number in range(count):
            size = int(torch.randint(3, 7, (), generator=draw))
            y, x = torch.randint(0, 16 - size, (2,), generator=draw).tolist()
            self.images[number, 0, y : y + size, x : x + size] += 0.7
            self.boxes[number] = torch.tensor([y + size / 2, x + size / 2, size])

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        y, x, size = self.boxes[index].tolist()
        row, column = int(y // 4), int(x // 4)
        there, box = torch.zeros(4, 4), torch.zeros(3, 4, 4)
        there[row, column] = 1.0
        box[:, row, column] = torch.tensor([y / 4 - row, x / 4 - column, size / 8])
        return self.images[index], there, box


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 12, 3, stride=2, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(12, 24, 3, stride=2, padding=1),
            nn.GroupNorm(4, 24),
            nn.LeakyReLU(0.1),
        )
        self.objectness, self.box = nn.Conv2d(24, 1, 1), nn.Conv2d(24, 3, 1)

    def forward(self, images):
        features = self.features(images)
        return self.objectness(features).squeeze(1), self.box(features)


def detection_loss(objectness, boxes, there, wanted):
    found = F.binary_cross_entropy_with_logits(objectness, there, pos_weight=torch.tensor(5.0))
    wrong = F.smooth_l1_loss(boxes, wanted, reduction="none").sum(dim=1)
    placed = (wrong * there).sum() / there.sum()
    return found + 2.0 * placed


torch.manual_seed(130)
model = Detector()
loader = DataLoader(Squares(), batch_size=8, shuffle=True, generator=torch.Generator().manual_seed(132))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
scheduler = torch.optim.lr_scheduler.MultiStepLR(
    optimizer, milestones=[2 * len(loader), 3 * len(loader)], gamma=0.1
)
for epoch in range(4):
    for images, there, wanted in loader:
        objectness, boxes = model(images)
        loss = detection_loss(objectness, boxes, there, wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
    print(epoch, loss.item())
