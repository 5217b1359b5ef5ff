import math

import torch
from torch import nn
from torch.nn import functional as F

TEXT = (
    "the quick brown fox jumps over the lazy dog and the slow red cat sleeps under the old oak "
    "while a small grey mouse looks for bread near the warm stove in the kitchen of the house "
)


class Block(nn.Module):
    def __init__(self, width, heads, dropout):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.ln_1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.c_proj = nn.Linear(width, width)
        self.ln_2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.mlp_c_proj = nn.Linear(4 * width, width)

    def forward(self, x):
        B, T, C = x.shape
        q, k, v = self.qkv(self.ln_1(x)).split(C, dim=2)
        q, k, v = (t.view(B, T, self.heads, C // self.heads).transpose(1, 2) for t in (q, k, v))
        scores = (q @ k.transpose(-2, -1)) / math.sqrt(C // self.heads)
        future = torch.ones(T, T, dtype=torch.bool).triu(1)
        weights = scores.masked_fill(future, float("-inf")).softmax(dim=-1)
        y = (weights @ v).transpose(1, 2).reshape(B, T, C)
        x = x + F.dropout(self.c_proj(y), self.dropout, self.training)
        hidden = F.gelu(self.up(self.ln_2(x)))
        return x + F.dropout(self.mlp_c_proj(hidden), self.dropout, self.training)


class GPT(nn.Module):
    def __init__(self, vocab, context, width=32, layers=2, heads=4, dropout=0.1):
        super().__init__()
        self.wte = nn.Embedding(vocab, width)
        self.wpe = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.ln_f = nn.LayerNorm(width)
        self.lm_head = nn.Linear(width, vocab, bias=False)
        torch.manual_seed(61)
        for name, parameter in self.named_parameters():
            if parameter.ndim >= 2 and "lm_head" not in name:
                depth = 2 * layers if "c_proj" in name else 1
                nn.init.normal_(parameter, std=0.08 / math.sqrt(depth))
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
        self.lm_head.weight = self.wte.weight

    def forward(self, ids, targets):
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        logits = self.lm_head(self.ln_f(x))
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


class GPTTrainer:
    def __init__(self, text, context=16, batch=6, accumulation=2, steps=12):
        letters = sorted(set(text))
        self.data = torch.tensor([letters.index(c) for c in text])
        self.context, self.batch, self.accumulation = context, batch, accumulation
        self.steps, self.warmup, self.lr, self.min_lr = steps, 3, 6e-3, 6e-4
        self.model = GPT(len(letters), context)
        self.draw = torch.Generator().manual_seed(62)
        parameters = list(self.model.parameters())
        self.optimizer = torch.optim.AdamW(
            [
                {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": 0.1},
                {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
            ],
            lr=self.lr,
            betas=(0.9, 0.95),
        )

    def get_batch(self):
        starts = torch.randint(len(self.data) - self.context, (self.batch,), generator=self.draw)
        x = torch.stack([self.data[i : i + self.context] for i in starts])
        y = torch.stack([self.data[i + 1 : i + 1 + self.context] for i in starts])
        return x, y

    def rate(self, step):
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        done = (step - self.warmup) / (self.steps - self.warmup)
        return self.min_lr + 0.5 * (1 + math.cos(math.pi * done)) * (self.lr - self.min_lr)

    def fit(self):
        torch.manual_seed(63)
        self.model.train()
        for step in range(self.steps):
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate(step)
            for _ in range(self.accumulation):
                loss = self.model(*self.get_batch()) / self.accumulation
                loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            print(step, loss.item() * self.accumulation)


if __name__ == "__main__":
    GPTTrainer(TEXT).fit()
