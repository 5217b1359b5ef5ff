import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class MaskedAutoencoder(nn.Module):
    """Predicts the patches that the encoder did not see."""

    def __init__(self, patches=16, patch=9, width=24, keep=6):
        super().__init__()
        self.keep = keep
        self.embed = nn.Linear(patch, width)
        self.positions = nn.Parameter(torch.randn(patches, width) * 0.02)
        self.encoder = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))
        self.mask_token = nn.Parameter(torch.zeros(width))
        self.norm = nn.LayerNorm(width)
        self.decoder = nn.Linear(width, patch)

    def forward(self, patches):
        batch, count, _ = patches.shape
        order = torch.rand(batch, count).argsort(dim=1)
        seen, hidden = order[:, : self.keep], order[:, self.keep :]
        x = self.embed(patches) + self.positions
        x = self.encoder(x.gather(1, seen[..., None].expand(-1, -1, x.shape[-1])))
        full = self.mask_token.expand(batch, count, -1)
        full = full.scatter(1, seen[..., None].expand_as(x), x) + self.positions
        mixed = self.norm(full + full.mean(dim=1, keepdim=True))
        predicted = self.decoder(mixed)
        mean = patches.mean(dim=-1, keepdim=True)
        target = (patches - mean) / (patches.var(dim=-1, keepdim=True) + 1e-6).sqrt()
        errors = (predicted - target).square().mean(dim=-1)
        return errors.gather(1, hidden).mean()


class Average:
    def __init__(self, model, decay):
        self.decay = decay
        self.shadow = {name: p.detach().clone() for name, p in model.named_parameters()}

    @torch.no_grad()
    def update(self, model):
        for name, p in model.named_parameters():
            self.shadow[name].mul_(self.decay).add_(p, alpha=1 - self.decay)

    @torch.no_grad()
    def swap(self, model):
        for name, p in model.named_parameters():
            mine = self.shadow[name].clone()
            self.shadow[name].copy_(p)
            p.copy_(mine)


def patchify(images, size=3):
    n, h, w = images.shape
    grid = images.view(n, h // size, size, w // size, size)
    return grid.transpose(2, 3).reshape(n, -1, size * size)


torch.manual_seed(61)
images = torch.rand(48, 12, 12).cumsum(dim=1).cumsum(dim=2)
images = (images - images.mean()) / images.std()
patches = patchify(images)
model = MaskedAutoencoder()
average = Average(model, 0.8)
decayed = [p for p in model.parameters() if p.ndim > 1]
plain = [p for p in model.parameters() if p.ndim <= 1]
optimizer = torch.optim.AdamW(
    [{"params": decayed, "weight_decay": 0.2}, {"params": plain, "weight_decay": 0.0}],
    lr=6e-3, betas=(0.9, 0.95),
)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=12, eta_min=1e-3)
validation, training = patches[40:], TensorDataset(patches[:40])
for epoch in range(3):
    loader = DataLoader(training, batch_size=10, shuffle=True, generator=torch.Generator().manual_seed(epoch))
    for (rows,) in loader:
        loss = model(rows)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        scheduler.step()
        average.update(model)
        print(epoch, loss.item())
    average.swap(model)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        print("validation", model(validation).item())
    average.swap(model)
