import os
import tempfile

import torch
from torch import nn
from torch.utils.data import Dataset
from transformers import DistilBertConfig, DistilBertForSequenceClassification, Trainer, TrainingArguments, set_seed


class Weighted(Dataset):
    def __init__(self, count=64):
        draw = torch.Generator().manual_seed(90)
        self.ids = torch.randint(1, 40, (count, 9), generator=draw)
        self.labels = (self.ids.float().mean(dim=1) > 20).long()
        self.trust = torch.rand(count, generator=draw)

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, row):
        return {"input_ids": self.ids[row], "labels": self.labels[row], "trust": self.trust[row]}


class TrustTrainer(Trainer):
    def create_optimizer(self, model=None):
        head = [p for n, p in self.model.named_parameters() if n.startswith(("pre_classifier", "classifier"))]
        body = [p for n, p in self.model.named_parameters() if n.startswith("distilbert")]
        groups = [{"params": body, "lr": self.args.learning_rate}, {"params": head, "lr": 1e-2}]
        self.optimizer = torch.optim.AdamW(groups, lr=self.args.learning_rate, weight_decay=0.0)
        return self.optimizer

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels, trust = inputs.pop("labels"), inputs.pop("trust", None)
        outputs = model(**inputs)
        costs = nn.functional.cross_entropy(outputs.logits, labels, reduction="none")
        loss = (costs if trust is None else costs * trust).mean() / self.args.gradient_accumulation_steps
        return (loss, outputs) if return_outputs else loss


set_seed(90)
model = DistilBertForSequenceClassification(
    DistilBertConfig(vocab_size=40, dim=24, hidden_dim=48, n_layers=2, n_heads=2, max_position_embeddings=12)
)
with tempfile.TemporaryDirectory() as folder:
    arguments = TrainingArguments(
        output_dir=os.path.join(folder, "out"), per_device_train_batch_size=4, gradient_accumulation_steps=2,
        max_steps=8, learning_rate=1e-3, lr_scheduler_type="linear", remove_unused_columns=False,
        save_strategy="no", report_to="none", logging_steps=1, use_cpu=True, seed=90, disable_tqdm=True,
    )
    trainer = TrustTrainer(model=model, args=arguments, train_dataset=Weighted())
    trainer.train()
