import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Distiller:
    temperature = 3.0

    def __init__(self):
        torch.manual_seed(14)
        self.rows = TensorDataset(torch.randn(60, 7), torch.randint(4, (60,)))
        self.teacher = nn.Sequential(nn.Linear(7, 40), nn.ReLU(), nn.Dropout(0.2), nn.Linear(40, 4))
        self.student = nn.Sequential(nn.Linear(7, 10), nn.ReLU(), nn.Linear(10, 4))
        self.divergence = nn.KLDivLoss(reduction="batchmean")
        self.hard = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.student.parameters(), lr=0.1, momentum=0.8, weight_decay=1e-3)

    def batches(self, epoch):
        shuffled = torch.randperm(60, generator=torch.Generator().manual_seed(100 + epoch)).tolist()
        return DataLoader(self.rows, batch_size=12, sampler=shuffled, generator=torch.Generator())

    def loss(self, x, y):
        with torch.no_grad():
            aim = torch.softmax(self.teacher(x) / self.temperature, dim=1)
        logits = self.student(x)
        soft = self.divergence(torch.log_softmax(logits / self.temperature, dim=1), aim)
        return 0.7 * (soft * self.temperature**2) + 0.3 * self.hard(logits, y)

    def fit(self, epochs):
        self.student.train()
        self.teacher.eval()
        for epoch in range(epochs):
            for x, y in self.batches(epoch):
                loss = self.loss(x, y)
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
            print(epoch, loss.item())


Distiller().fit(2)
