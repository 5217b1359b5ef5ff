import torch
from torch.utils.data import DataLoader, TensorDataset
from transformers import BertConfig, BertForTokenClassification, set_seed


def make_rows(count):
    draw = torch.Generator().manual_seed(3)
    ids = torch.randint(1, 30, (count, 10), generator=draw)
    lengths = torch.randint(5, 11, (count,), generator=draw)
    present = torch.arange(10) < lengths[:, None]
    ids = ids * present
    tags = torch.where(present, ids % 3, -100)
    return ids, present.long(), tags


set_seed(1)
config = BertConfig(
    vocab_size=30, hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=40,
    max_position_embeddings=12, num_labels=3,
)
tagger = BertForTokenClassification(config)
ids, present, tags = make_rows(40)
decayed, spared = [], []
for name, parameter in tagger.named_parameters():
    (spared if name.endswith("bias") or "LayerNorm" in name else decayed).append(parameter)
optimizer = torch.optim.AdamW(
    [{"params": decayed, "weight_decay": 0.01}, {"params": spared, "weight_decay": 0.0}], lr=2e-3
)
set_seed(1)
tagger.train()
loader = DataLoader(TensorDataset(ids, present, tags), batch_size=4, sampler=[7 * i % 40 for i in range(40)])
for step, (words, mask, wanted) in enumerate(loader):
    lr = 2e-3 * (step / 3 if step < 3 else (10 - step) / 7)
    for group in optimizer.param_groups:
        group["lr"] = lr
    out = tagger(input_ids=words, attention_mask=mask, labels=wanted)
    out.loss.backward()
    torch.nn.utils.clip_grad_norm_(tagger.parameters(), 0.5)
    optimizer.step()
    optimizer.zero_grad()
    print(step + 1, out.loss.item())
