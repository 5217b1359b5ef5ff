"""The Trainer with a loss of its own: classes are weighted in `compute_loss`."""

import tempfile

import torch
from torch import nn
from torch.utils.data import Dataset
from transformers import (
    DistilBertConfig,
    DistilBertForSequenceClassification,
    Trainer,
    TrainingArguments,
    set_seed,
)


class Readings(Dataset):
    def __init__(self, count, seed):
        generator = torch.Generator().manual_seed(seed)
        self.ids = torch.randint(1, 40, (count, 10), generator=generator)
        self.labels = (self.ids[:, 0] > self.ids[:, 9]).long()

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        return {"input_ids": self.ids[index], "labels": self.labels[index]}


class WeightedTrainer(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        weight = torch.tensor([1.0, 3.0])
        loss = nn.functional.cross_entropy(outputs.logits, labels, weight=weight)
        return (loss, outputs) if return_outputs else loss


def compute_metrics(evaluation):
    predictions = evaluation.predictions.argmax(axis=-1)
    return {"accuracy": float((predictions == evaluation.label_ids).mean())}


set_seed(8)
config = DistilBertConfig(
    vocab_size=40, dim=32, n_layers=2, n_heads=2, hidden_dim=64, max_position_embeddings=16
)
model = DistilBertForSequenceClassification(config)

with tempfile.TemporaryDirectory() as folder:
    training_args = TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=8,
        num_train_epochs=2,
        learning_rate=5e-4,
        weight_decay=0.01,
        warmup_steps=2,
        eval_strategy="epoch",
        save_strategy="no",
        logging_steps=4,
        report_to="none",
        use_cpu=True,
        seed=8,
    )
    trainer = WeightedTrainer(
        model=model,
        args=training_args,
        train_dataset=Readings(32, seed=0),
        eval_dataset=Readings(12, seed=1),
        compute_metrics=compute_metrics,
    )
    trainer.train()

for entry in trainer.state.log_history:
    if "loss" in entry or "eval_accuracy" in entry:
        print({name: entry[name] for name in ("loss", "eval_loss", "step") if name in entry})
