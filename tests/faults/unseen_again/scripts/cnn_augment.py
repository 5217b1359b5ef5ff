import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(31)
MEAN, STD = 0.5, 0.25


def make_images(count):
    labels = torch.randint(3, (count,))
    images = torch.rand(count, 3, 10, 10) * 0.6
    images[torch.arange(count), labels] += 0.4
    return images, labels


def augment(images, rng):
    padded = F.pad(images, (1, 1, 1, 1))
    crops = []
    for image in padded:
        top, left = torch.randint(3, (2,), generator=rng).tolist()
        crops.append(image[:, top : top + 10, left : left + 10])
    return torch.stack(crops)


class SmallCNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.GroupNorm(2, 8)
        self.conv2 = nn.Conv2d(8, 12, 3, stride=2)
        self.fc = nn.Linear(12, 3)

    def forward(self, x):
        x = F.relu(self.norm(self.conv1(x)))
        x = F.relu(self.conv2(x)).mean(dim=(2, 3))
        x = F.dropout(x, 0.3, self.training)
        return self.fc(x)


train_x, train_y = make_images(40)
valid_x, valid_y = make_images(16)
rng = torch.Generator().manual_seed(8)
net = SmallCNN()
optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, nesterov=True)
for epoch in range(2):
    net.train()
    for rows in torch.randperm(40, generator=rng).split(8):
        x = (augment(train_x[rows], rng) - MEAN) / STD
        loss = F.cross_entropy(net(x), train_y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    net.eval()
    with torch.no_grad():
        hits = (net((valid_x - MEAN) / STD).argmax(1) == valid_y).float().mean()
    print(f"epoch {epoch}: loss {loss.item():.4f}, accuracy {hits:.3f}")
