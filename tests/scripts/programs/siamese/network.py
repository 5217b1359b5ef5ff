"""The twin network: one encoder for both pictures of a pair, and the contrastive loss."""

import torch
import torch.nn as nn
import torch.nn.functional as F


class SiameseNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.cnn = nn.Sequential(
            nn.Conv2d(1, 4, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Flatten(),
        )
        self.fc = nn.Sequential(nn.Linear(4 * 4 * 4, 16), nn.ReLU(inplace=True), nn.Linear(16, 6))

    def forward(self, x):
        return self.fc(self.cnn(x))


class ContrastiveLoss(nn.Module):
    def __init__(self, margin=1.0):
        super().__init__()
        self.margin = margin

    def forward(self, first, second, different):
        distance = F.pairwise_distance(first, second)
        alike = (1 - different) * distance.pow(2)
        unlike = different * torch.clamp(self.margin - distance, min=0.0).pow(2)
        return (alike + unlike).mean()
