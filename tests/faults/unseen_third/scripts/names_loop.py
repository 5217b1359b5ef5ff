import math

import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader
from transformers import GPT2Config, GPT2LMHeadModel, set_seed


def rows_of(count):
    g = torch.Generator().manual_seed(14)
    rows = []
    for _ in range(count):
        size = int(torch.randint(4, 12, (), generator=g))
        row = torch.randint(2, 24, (2,), generator=g).tolist()
        for _ in range(size - 2):
            row.append(2 + (row[-1] + row[-2]) % 22)
        rows.append(torch.tensor(row + [1]))
    return rows


def rate_at(step):
    if step < 2:
        return 4e-3 * (step / 2)
    return 4e-3 * max(0.0, 0.5 * (1.0 + math.cos(math.pi * 0.5 * 2.0 * ((step - 2) / 8))))


set_seed(17)
net = GPT2LMHeadModel(
    GPT2Config(
        vocab_size=24, n_positions=16, n_embd=24, n_layer=2, n_head=2, bos_token_id=1,
        eos_token_id=1, resid_pdrop=0.05, embd_pdrop=0.05, attn_pdrop=0.05,
    )
)
rows = rows_of(56)
matrices, others = [], []
for name, parameter in net.named_parameters():
    is_matrix = parameter.dim() == 2 and name != "transformer.wpe.weight"
    (matrices if is_matrix else others).append(parameter)
groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
adam = torch.optim.AdamW(groups, lr=4e-3, betas=(0.9, 0.98), eps=1e-7)

set_seed(17)
net.train()
update = 0
for epoch in range(2):
    order = torch.randperm(56, generator=torch.Generator().manual_seed(18 + epoch)).tolist()
    chunks = list(DataLoader(rows, batch_size=4, sampler=order, collate_fn=list))
    for first in range(0, len(chunks), 3):
        window = chunks[first : first + 3]
        targets = []
        for chunk in window:
            wanted = pad_sequence(chunk, batch_first=True, padding_value=-100)
            wanted[:, :2] = -100
            targets.append(wanted)
        count = torch.stack([(wanted != -100).sum() for wanted in targets]).sum()
        total = 0.0
        for chunk, wanted in zip(window, targets):
            ids = pad_sequence(chunk, batch_first=True)
            out = net(input_ids=ids, attention_mask=(ids > 0).long(), use_cache=False).logits
            after = F.pad(wanted, (0, 1), value=-100)[:, 1:]
            cost = F.cross_entropy(out.view(-1, 24), after.reshape(-1), reduction="sum") / count
            cost.backward()
            total += cost.item()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 0.7)
        for group in adam.param_groups:
            group["lr"] = rate_at(update)
        adam.step()
        adam.zero_grad()
        update += 1
        print(update, total)
