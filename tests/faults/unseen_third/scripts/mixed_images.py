import torch
from torch import nn
from torch.nn import functional as F


def make_images(count):
    draw = torch.Generator().manual_seed(181)
    labels = torch.randint(3, (count,), generator=draw)
    images = 0.5 * torch.randn(count, 1, 10, 10, generator=draw)
    for row, label in enumerate(labels.tolist()):
        if label == 0:
            images[row, 0, 3:5] += 1
        elif label == 1:
            images[row, 0, :, 5:7] += 1
        else:
            images[row, 0, 2:8, 2:8] += 0.5
    return images, labels


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.norm1 = nn.GroupNorm(2, 8)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(2, 8)
        self.head = nn.Linear(8, 3)
        nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")
        nn.init.kaiming_normal_(self.conv2.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.norm2.weight)

    def forward(self, x):
        x = self.norm1(self.conv1(x)).relu()
        x = (x + self.norm2(self.conv2(x))).relu()
        return self.head(x.mean(dim=(2, 3)))


def mix(images, labels, draw):
    share = torch.rand((), generator=draw).mul(0.5).add(0.5)
    partner = torch.randperm(len(images), generator=draw)
    targets = F.one_hot(labels, 3).float()
    mixed = share * images + (1 - share) * images[partner]
    return mixed, share * targets + (1 - share) * targets[partner]


torch.manual_seed(180)
images, labels = make_images(60)
network = Network()
optimizer = torch.optim.SGD(network.parameters(), lr=0.2, momentum=0.9, nesterov=True, weight_decay=5e-4)
scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.2, total_steps=12, pct_start=0.25)
draw = torch.Generator().manual_seed(182)
for epoch in range(3):
    for rows in torch.randperm(60, generator=draw).split(15):
        inputs, targets = mix(images[rows], labels[rows], draw)
        loss = F.cross_entropy(network(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        print(epoch, loss.item())
