import torch
from torch import nn
from torch.nn import functional as F


def make_images(count, seed):
    """Grey pictures with a bright bar: its direction and place give the class."""
    draw = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 90, (count, 1, 12, 12), generator=draw).float()
    labels = torch.randint(0, 4, (count,), generator=draw)
    for image, label in zip(images, labels):
        place = 3 if label < 2 else 8
        if label % 2:
            image[0, place] += 150
        else:
            image[0, :, place] += 150
    return images, labels


def block(inside, outside):
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, padding=1, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(),
        nn.MaxPool2d(2),
    )


images, labels = make_images(60, seed=31)
held_images, held_labels = make_images(20, seed=32)

torch.manual_seed(30)
model = nn.Sequential(block(1, 8), block(8, 16), nn.Flatten(), nn.Linear(16 * 9, 4))
optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, nesterov=True, weight_decay=5e-4)
scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.05, total_steps=12, pct_start=0.25)

step = 0
for epoch in range(3):
    model.train()
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(33 + epoch))
    for number, rows in enumerate(order.split(8)):
        inputs = (images[rows] / 255 - 0.5) / 0.25
        loss = F.cross_entropy(model(inputs), labels[rows], label_smoothing=0.1)
        (loss / 2).backward()
        if number % 2 == 1:
            nn.utils.clip_grad_norm_(model.parameters(), 2.0)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            step += 1
            print(step, loss.item())
    model.eval()
    with torch.no_grad():
        guesses = model((held_images / 255 - 0.5) / 0.25).argmax(dim=1)
    print("epoch", epoch, "accuracy", (guesses == held_labels).float().mean().item())
