import torch
from torch import nn
from torch.nn import functional as F


def signals(count, width=32):
    draw = torch.Generator().manual_seed(91)
    phases = 6.28 * torch.rand(count, 1, generator=draw)
    pitches = 0.2 + 0.5 * torch.rand(count, 1, generator=draw)
    return torch.sin(phases + pitches * torch.arange(width))


class Denoiser(nn.Module):
    """An autoencoder whose decoder is the transposed encoder."""

    def __init__(self, width=32, code=10):
        super().__init__()
        self.encoder = nn.Linear(width, code)
        self.back = nn.Parameter(torch.zeros(width))
        nn.init.orthogonal_(self.encoder.weight)

    def forward(self, x):
        code = torch.tanh(self.encoder(x))
        return F.linear(code, self.encoder.weight.t(), self.back), code


def train(model, clean, optimizer, epochs=3, batch=12):
    draw = torch.Generator().manual_seed(92)
    for epoch in range(epochs):
        order = torch.randperm(len(clean), generator=draw)
        for rows in order.split(batch):
            x = clean[rows]
            noisy = x + 0.3 * torch.randn(x.shape, generator=draw)

            def closure():
                optimizer.zero_grad()
                output, code = model(noisy)
                loss = F.mse_loss(output, x) + 1e-2 * code.abs().mean()
                loss.backward()
                return loss

            loss = optimizer.step(closure)
            print(epoch, loss.item())
        for group in optimizer.param_groups:
            group["lr"] *= 0.5


torch.manual_seed(90)
model = Denoiser()
train(model, signals(60), torch.optim.Adamax(model.parameters(), lr=1e-2, weight_decay=1e-3))
