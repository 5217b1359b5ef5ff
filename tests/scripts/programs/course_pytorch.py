"""Fine-tune a small BERT on token sequences, with a training loop written by hand."""

import torch
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers import BertConfig, BertForSequenceClassification, get_scheduler

torch.manual_seed(42)


def make_rows(count):
    generator = torch.Generator().manual_seed(7)
    rows = []
    for _ in range(count):
        length = int(torch.randint(5, 14, (1,), generator=generator))
        tokens = torch.randint(3, 60, (length,), generator=generator)
        rows.append({"input_ids": tokens, "labels": int(tokens.float().mean() > 31)})
    return rows


def collate(rows):
    ids = [row["input_ids"] for row in rows]
    padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=0)
    return {
        "input_ids": padded,
        "attention_mask": (padded != 0).long(),
        "labels": torch.tensor([row["labels"] for row in rows]),
    }


rows = make_rows(40)
train_dataloader = DataLoader(rows[:24], shuffle=True, batch_size=8, collate_fn=collate)
eval_dataloader = DataLoader(rows[24:], batch_size=8, collate_fn=collate)

config = BertConfig(
    vocab_size=60,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=64,
    max_position_embeddings=32,
    num_labels=2,
)
model = BertForSequenceClassification(config)
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4)

num_epochs = 3
num_training_steps = num_epochs * len(train_dataloader)
lr_scheduler = get_scheduler(
    "linear",
    optimizer=optimizer,
    num_warmup_steps=0,
    num_training_steps=num_training_steps,
)

device = torch.device("cuda") if torch.cuda.is_available() else torch.device("cpu")
model.to(device)

progress_bar = tqdm(range(num_training_steps))

model.train()
for epoch in range(num_epochs):
    for batch in train_dataloader:
        batch = {name: value.to(device) for name, value in batch.items()}
        outputs = model(**batch)
        loss = outputs.loss
        loss.backward()

        optimizer.step()
        lr_scheduler.step()
        optimizer.zero_grad()
        progress_bar.update(1)
    print(f"epoch {epoch}: loss {loss.item()}")

correct = 0
model.eval()
for batch in eval_dataloader:
    batch = {name: value.to(device) for name, value in batch.items()}
    with torch.no_grad():
        outputs = model(**batch)
    correct += (outputs.logits.argmax(dim=-1) == batch["labels"]).sum().item()
print(f"accuracy: {correct / 16}")
