"""A training of a small encoder, whose options change its rounding or plant a fault.

It is a command for the tests of the noise band: it knows nothing of the harness.
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--batch", type=int, default=8)
parser.add_argument("--accumulate", type=int, default=1)
parser.add_argument("--flavour", default="foreach")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--names", default="", help="what stands before the name of each part")
parser.add_argument("--seed", default="0", help="none: another one in each run")
parser.add_argument("--dtype", default="float32")
parser.add_argument("--once", help="a file that the program writes, and refuses to write again")
parser.add_argument("--fault", default="")
options = parser.parse_args()

torch.set_num_threads(options.threads)
if options.once:
    open(options.once, "x").close()
if options.seed == "none":
    torch.seed()
else:
    torch.manual_seed(int(options.seed))
rows = torch.randint(2, 50, (64, 12))
labels = (rows.float().mean(1) > 26).long()


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.add_module(f"{options.names}words", nn.Embedding(50, 32))
        layer = nn.TransformerEncoderLayer(32, 2, 64, dropout=0.0, batch_first=True)
        self.add_module(f"{options.names}encoder", layer)
        self.add_module(f"{options.names}head", nn.Linear(32, 2))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        words, encoder, head = self.children()
        result: torch.Tensor = head(encoder(words(tokens)).mean(1))
        return result


model = Model().to(getattr(torch, options.dtype))
decay = 0.0101 if options.fault == "decay" else 0.01
optimizer = torch.optim.AdamW(
    model.parameters(),
    lr=1.01e-3 if options.fault == "rate" else 1e-3,
    weight_decay=decay,
    fused=options.flavour == "fused",
    foreach=options.flavour == "foreach",
)
order = torch.Generator().manual_seed(1)
size = options.batch * options.accumulate
for _ in range(3):
    for step_rows in torch.randperm(64, generator=order).split(size):
        parts = step_rows.split(options.batch)
        for number, part in enumerate(parts):
            if options.fault == "dropped" and number == len(parts) - 1:
                continue
            loss = nn.functional.cross_entropy(model(rows[part]), labels[part])
            if options.fault != "sum":
                loss = loss / options.accumulate
            loss.backward()
        if options.fault == "scaled":
            for parameter in model.parameters():
                assert parameter.grad is not None
                parameter.grad.mul_(1.001)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
