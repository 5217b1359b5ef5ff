"""Fine-tune a small BERT with Accelerate, and evaluate after each epoch."""

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from datasets import Dataset
from torch.optim import AdamW
from torch.utils.data import DataLoader
from transformers import BertConfig, BertForSequenceClassification, get_scheduler


def pairs(count, seed):
    generator = torch.Generator().manual_seed(seed)
    first = torch.randint(3, 50, (count, 8), generator=generator)
    second = torch.randint(3, 50, (count, 8), generator=generator)
    labels = (first.sum(dim=1) > second.sum(dim=1)).long()
    ids = torch.cat([first, torch.full((count, 1), 2), second], dim=1)
    rows = {"input_ids": ids.tolist(), "labels": labels.tolist()}
    return Dataset.from_dict(rows).with_format("torch")


def evaluate(accelerator, model, eval_dataloader):
    model.eval()
    right, seen = 0, 0
    for batch in eval_dataloader:
        with torch.no_grad():
            outputs = model(**batch)
        predictions = outputs.logits.argmax(dim=-1)
        predictions, labels = accelerator.gather_for_metrics((predictions, batch["labels"]))
        right += (predictions == labels).sum().item()
        seen += len(labels)
    return right / seen


def main():
    accelerator = Accelerator(cpu=True)
    set_seed(3)

    config = BertConfig(
        vocab_size=50,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=24,
    )
    model = BertForSequenceClassification(config)
    optimizer = AdamW(model.parameters(), lr=1e-3)
    train_dl = DataLoader(pairs(30, seed=0), shuffle=True, batch_size=8)
    eval_dl = DataLoader(pairs(12, seed=1), batch_size=8)

    train_dl, eval_dl, model, optimizer = accelerator.prepare(train_dl, eval_dl, model, optimizer)

    num_epochs = 3
    num_training_steps = num_epochs * len(train_dl)
    lr_scheduler = get_scheduler(
        "linear",
        optimizer=optimizer,
        num_warmup_steps=2,
        num_training_steps=num_training_steps,
    )

    for epoch in range(num_epochs):
        model.train()
        for batch in train_dl:
            outputs = model(**batch)
            loss = outputs.loss
            accelerator.backward(loss)

            optimizer.step()
            lr_scheduler.step()
            optimizer.zero_grad()
        accuracy = evaluate(accelerator, model, eval_dl)
        accelerator.print(f"epoch {epoch}: loss {loss.item():.6f}, accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
