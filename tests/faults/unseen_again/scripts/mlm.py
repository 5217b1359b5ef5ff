import torch
from torch.utils.data import DataLoader
from transformers import BertConfig, BertForMaskedLM, set_seed

PAD, CLS, SEP, MASK, WORDS = 0, 1, 2, 3, 60
set_seed(5)
source = torch.Generator().manual_seed(50)
sentences = []
for _ in range(40):
    length = int(torch.randint(4, 11, (), generator=source))
    words = torch.randint(4, WORDS, (length,), generator=source).sort().values
    sentences.append([CLS, *words.tolist(), SEP])
draws = torch.Generator().manual_seed(51)


def collate(rows):
    width = max(len(row) for row in rows)
    ids = torch.tensor([row + [PAD] * (width - len(row)) for row in rows])
    attention = (ids != PAD).long()
    chosen = torch.rand(ids.shape, generator=draws) < 0.2
    chosen &= ids > SEP
    labels = ids.masked_fill(~chosen, -100)
    fate = torch.rand(ids.shape, generator=draws)
    noise = torch.randint(4, WORDS, ids.shape, generator=draws)
    ids = torch.where(chosen & (fate < 0.8), torch.full_like(ids, MASK), ids)
    ids = torch.where(chosen & (fate >= 0.9), noise, ids)
    return {"input_ids": ids, "attention_mask": attention, "labels": labels}


config = BertConfig(
    vocab_size=WORDS, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
    intermediate_size=48, max_position_embeddings=20,
)
bert = BertForMaskedLM(config)
bert.train()
optimizer = torch.optim.AdamW(bert.parameters(), lr=2e-3)
loader = DataLoader(sentences, batch_size=8, shuffle=True, collate_fn=collate)
for epoch in range(2):
    for batch in loader:
        loss = bert(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(bert.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    print("epoch", epoch, "loss", loss.item())
