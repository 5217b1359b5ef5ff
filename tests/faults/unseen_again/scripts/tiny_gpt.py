import math

import torch
from torch import nn
from torch.nn import functional as F

VOCAB, WIDTH, CONTEXT = 20, 24, 12


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.proj = nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))
        self.register_buffer("mask", torch.ones(CONTEXT, CONTEXT).tril().bool())

    def forward(self, x):
        b, t, _ = x.shape
        q, k, v = (part.view(b, t, 2, -1).transpose(1, 2) for part in self.qkv(self.ln1(x)).chunk(3, -1))
        scores = (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).masked_fill(~self.mask[:t, :t], -1e9)
        x = x + self.proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, WIDTH))
        return x + self.mlp(self.ln2(x))


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens, self.places = nn.Embedding(VOCAB, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(2))
        self.ln = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, VOCAB, bias=False)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)
        self.head.weight = self.tokens.weight

    def forward(self, ids):
        x = self.tokens(ids) + self.places(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.head(self.ln(x))


torch.manual_seed(1337)
stream = torch.cat([torch.arange(VOCAB).roll(int(s)) for s in torch.randint(VOCAB, (40,))])
gpt = GPT()
optimizer = torch.optim.AdamW(gpt.parameters(), lr=3e-3, betas=(0.9, 0.95), weight_decay=0.1)
for step in range(10):
    lr = 3e-3 * (step + 1) / 3 if step < 3 else 3e-3 * 0.5 * (1 + math.cos(math.pi * (step - 3) / 7))
    for group in optimizer.param_groups:
        group["lr"] = lr
    starts = torch.randint(len(stream) - CONTEXT - 1, (6,)).tolist()
    x = torch.stack([stream[s : s + CONTEXT] for s in starts])
    y = torch.stack([stream[s + 1 : s + CONTEXT + 1] for s in starts])
    loss = F.cross_entropy(gpt(x).view(-1, VOCAB), y.view(-1))
    loss.backward()
    nn.utils.clip_grad_norm_(gpt.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    print(step, loss.item())
