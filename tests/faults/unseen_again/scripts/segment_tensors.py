import torch
from torch.nn import BatchNorm2d, Conv2d, Module, ModuleDict
from torch.nn.functional import avg_pool2d, binary_cross_entropy_with_logits, interpolate, max_pool2d, relu

source = torch.Generator().manual_seed(70)
truth = (avg_pool2d(torch.rand(40, 1, 12, 12, generator=source), 5, stride=1, padding=2) > 0.5).float()
pictures = truth + 0.4 * torch.randn(40, 1, 12, 12, generator=source)
flips = torch.Generator().manual_seed(71)


class Net(Module):
    def __init__(self):
        super().__init__()
        self.parts = ModuleDict()
        self.parts["a"], self.parts["norm_a"] = Conv2d(1, 6, 3, padding=1), BatchNorm2d(6)
        self.parts["b"], self.parts["norm_b"] = Conv2d(6, 6, 3, padding=1), BatchNorm2d(6)
        self.parts["c"] = Conv2d(12, 1, 1)

    def forward(self, picture):
        p = self.parts
        fine = relu(p["norm_a"](p["a"](picture)))
        coarse = relu(p["norm_b"](p["b"](max_pool2d(fine, 2))))
        return p["c"](torch.cat([fine, interpolate(coarse, scale_factor=2)], dim=1))


def cost_of(raw, wanted):
    pixelwise = binary_cross_entropy_with_logits(raw, wanted)
    guess = torch.sigmoid(raw)
    both = (guess * wanted).sum(dim=(1, 2, 3))
    total = guess.sum(dim=(1, 2, 3)) + wanted.sum(dim=(1, 2, 3)) + 1
    return pixelwise + (1 - (2 * both + 1) / total).mean()


torch.manual_seed(72)
net = Net()
rms = torch.optim.RMSprop(net.parameters(), lr=4e-3, momentum=0.5)
updates = 0
while updates < 10:
    epoch, place = divmod(updates, 5)
    if place == 0:
        order = torch.randperm(40, generator=torch.Generator().manual_seed(epoch))
    rows = order[place * 8 : place * 8 + 8]
    turned = torch.stack([torch.rand((), generator=flips) for _ in rows]) < 0.5
    picture = torch.where(turned[:, None, None, None], pictures[rows].flip(-1), pictures[rows])
    wanted = torch.where(turned[:, None, None, None], truth[rows].flip(-1), truth[rows])
    for group in rms.param_groups:
        group["lr"] = 4e-3 * min(1.0, (updates + 1) / 4)
    rms.zero_grad()
    cost = cost_of(net(picture), wanted)
    cost.backward()
    rms.step()
    updates += 1
print("last", cost.item())
