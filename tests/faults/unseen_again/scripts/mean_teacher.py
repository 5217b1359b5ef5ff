import copy

import torch
import torch.nn.functional as F
from torch import nn

torch.manual_seed(2024)
inputs = torch.randn(80, 8)
classes = (inputs[:, :2].sum(dim=1) > 0).long() + (inputs[:, 2] > 0.8).long()
labelled = 24

student = nn.Sequential(nn.Linear(8, 20), nn.BatchNorm1d(20), nn.ReLU(), nn.Linear(20, 3))
teacher = copy.deepcopy(student).requires_grad_(False)
optimizer = torch.optim.SGD(student.parameters(), lr=0.1, momentum=0.9)


@torch.no_grad()
def follow(decay):
    for slow, fast in zip(teacher.parameters(), student.parameters()):
        slow.mul_(decay).add_(fast, alpha=1 - decay)
    for slow, fast in zip(teacher.buffers(), student.buffers()):
        slow.copy_(fast)


student.train()
teacher.eval()
for step in range(10):
    known = torch.randint(labelled, (8,))
    unknown = torch.randint(labelled, 80, (16,))
    rows = torch.cat([known, unknown])
    noisy = inputs[rows] + 0.1 * torch.randn(24, 8)
    logits = student(noisy)
    aim = teacher(inputs[rows]).softmax(dim=1)
    supervised = F.cross_entropy(logits[:8], classes[known])
    consistency = F.mse_loss(logits.softmax(dim=1), aim)
    loss = supervised + 3.0 * consistency
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    follow(min(0.9, 1 - 1 / (step + 2)))
    print(step, supervised.item(), consistency.item())
