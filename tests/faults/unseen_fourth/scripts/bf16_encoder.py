import torch
from torch import nn
from torch.nn import functional as F


def recordings(count=64, length=10, channels=6):
    """Series of sensors with an offset and a scale for each channel; the label is the loudest."""
    draw = torch.Generator().manual_seed(151)
    raw = torch.randn(count, length, channels, generator=draw)
    labels = raw.pow(2).mean(dim=1).argmax(dim=1)
    raw = 300 + 40 * torch.arange(channels) + raw * (1 + torch.arange(channels))
    return raw, labels


class Encoder(nn.Module):
    def __init__(self, channels=6, width=32, classes=6):
        super().__init__()
        self.enter = nn.Linear(channels, width)
        self.place = nn.Parameter(0.02 * torch.randn(10, width))
        layer = nn.TransformerEncoderLayer(width, 4, 64, dropout=0.1, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.leave = nn.Linear(width, classes)

    def forward(self, x):
        return self.leave(self.layers(self.enter(x) + self.place).mean(dim=1))


def smoothed_cross_entropy(logits, labels, share=0.1):
    log_probs = logits.log_softmax(dim=-1)
    target = F.one_hot(labels, logits.shape[-1]) * (1 - share) + share / logits.shape[-1]
    return -(target * log_probs).sum(dim=-1).mean()


raw, labels = recordings()
mean, std = raw.mean(dim=(0, 1)), raw.std(dim=(0, 1))
torch.manual_seed(150)
model = Encoder()
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
shuffle = torch.Generator().manual_seed(152)
model.train()
for epoch in range(2):
    for rows in torch.randperm(len(raw), generator=shuffle).split(8):
        x = (raw[rows] - mean) / std
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(x)
        loss = smoothed_cross_entropy(logits.float(), labels[rows])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        print(epoch, loss.item())
