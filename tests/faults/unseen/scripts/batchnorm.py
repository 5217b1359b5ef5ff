import torch
from torch import nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(3)
images = torch.randn(72, 1, 8, 8)
labels = (images[:, 0, :4].mean(dim=(1, 2)) > 0).long()
train = TensorDataset(images[:56], labels[:56])
test = TensorDataset(images[56:], labels[56:])
net = nn.Sequential(
    nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
    nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.2), nn.Linear(128, 2),
)
optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=14)
criterion = nn.CrossEntropyLoss()

for epoch in range(2):
    net.train()
    for x, y in DataLoader(train, batch_size=8, shuffle=True):
        flip = torch.rand(len(x)) < 0.5
        x = torch.where(flip[:, None, None, None], x.flip(3), x)
        optimizer.zero_grad()
        loss = criterion(net(x), y)
        loss.backward()
        optimizer.step()
        scheduler.step()
    net.eval()
    correct = 0
    with torch.no_grad():
        for x, y in DataLoader(test, batch_size=8):
            correct += (net(x).argmax(1) == y).sum().item()
    print(epoch, loss.item(), correct)
