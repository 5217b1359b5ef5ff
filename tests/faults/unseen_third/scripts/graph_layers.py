import copy

import torch
from torch import nn


class GraphConvolution(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, features, adjacency):
        return adjacency @ (features @ self.weight) + self.bias


class GraphNetwork(nn.Module):
    def __init__(self, inputs, hidden, classes):
        super().__init__()
        self.first = GraphConvolution(inputs, hidden)
        self.second = GraphConvolution(hidden, classes)
        self.dropout = nn.Dropout(0.5)

    def forward(self, features, adjacency):
        hidden = self.first(self.dropout(features), adjacency).relu()
        return self.second(self.dropout(hidden), adjacency)


class Graph:
    """Nodes of three kinds, with more edges within a kind than between two."""

    def __init__(self, nodes=60):
        draw = torch.Generator().manual_seed(7)
        self.labels = torch.randint(3, (nodes,), generator=draw)
        alike = self.labels[:, None] == self.labels[None]
        chances = torch.rand(nodes, nodes, generator=draw)
        edges = (chances < torch.where(alike, 0.2, 0.03)).triu(diagonal=1).float()
        self.adjacency = self.normalise(edges + edges.T + torch.eye(nodes))
        self.features = torch.randn(nodes, 12, generator=draw)
        self.features[torch.arange(nodes), self.labels] += 1.0
        order = torch.randperm(nodes, generator=draw)
        self.train_mask = torch.zeros(nodes, dtype=torch.bool)
        self.train_mask[order[:30]] = True
        self.val_mask = torch.zeros(nodes, dtype=torch.bool)
        self.val_mask[order[30:45]] = True

    @staticmethod
    def normalise(matrix):
        degree = matrix.sum(dim=1)
        return matrix / (degree[:, None].sqrt() * degree[None, :].sqrt())


class Runner:
    def __init__(self, graph):
        self.graph = graph
        self.model = GraphNetwork(12, 16, 3)
        self.best, self.best_loss = None, float("inf")

    def loss(self, mask):
        scores = self.model(self.graph.features, self.graph.adjacency)
        return nn.functional.cross_entropy(scores[mask], self.graph.labels[mask])

    def validate(self):
        self.model.eval()
        with torch.no_grad():
            return self.loss(self.graph.val_mask).item()

    def fit(self, steps, rate):
        groups = [
            {"params": self.model.first.parameters(), "weight_decay": 0.05},
            {"params": self.model.second.parameters()},
        ]
        optimizer = torch.optim.Adam(groups, lr=rate)
        for step in range(steps):
            self.model.train()
            loss = self.loss(self.graph.train_mask)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            score = self.validate()
            print(step, loss.item(), score)
            if score < self.best_loss:
                self.best_loss, self.best = score, copy.deepcopy(self.model.state_dict())


torch.manual_seed(8)
runner = Runner(Graph())
runner.fit(7, 0.3)
runner.model.load_state_dict(runner.best)
runner.fit(5, 0.01)
