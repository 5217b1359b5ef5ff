"""A training loop with Lightning Fabric: set up, backward and clipping go through it."""

import torch
import torch.nn.functional as F
from lightning.fabric import Fabric, seed_everything
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def main():
    fabric = Fabric(accelerator="cpu", devices=1)
    fabric.launch()
    seed_everything(13)

    pictures = torch.randn(40, 1, 8, 8)
    labels = (pictures.mean(dim=(1, 2, 3)) > 0).long()
    train_loader = DataLoader(TensorDataset(pictures, labels), batch_size=8, shuffle=True)

    model = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(6 * 36, 2)
    )
    optimizer = torch.optim.Adadelta(model.parameters(), lr=0.5)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.7)

    model, optimizer = fabric.setup(model, optimizer)
    train_loader = fabric.setup_dataloaders(train_loader)

    for epoch in range(2):
        model.train()
        for batch_idx, (data, target) in enumerate(train_loader):
            optimizer.zero_grad()
            output = model(data)
            loss = F.cross_entropy(output, target)
            fabric.backward(loss)
            fabric.clip_gradients(model, optimizer, max_norm=1.0)
            optimizer.step()
            if batch_idx % 2 == 0:
                fabric.print(f"epoch {epoch}, batch {batch_idx}: loss {loss.item():.6f}")
        scheduler.step()


if __name__ == "__main__":
    main()
