import tempfile

import torch
from torch import nn
from torch.utils.data import Dataset
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments, set_seed


class Rows(Dataset):
    def __init__(self, count, seed):
        generator = torch.Generator().manual_seed(seed)
        self.ids = torch.randint(2, 50, (count, 12), generator=generator)
        self.ids[::3, 8:] = 0
        self.labels = (self.ids[:, 1] > self.ids[:, 2]).long()

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        ids = self.ids[index]
        return {"input_ids": ids, "attention_mask": (ids != 0).long(), "labels": self.labels[index]}


class SmoothTrainer(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        loss = nn.functional.cross_entropy(outputs.logits, labels, label_smoothing=0.1)
        return (loss, outputs) if return_outputs else loss


set_seed(21)
config = BertConfig(
    vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
    intermediate_size=64, max_position_embeddings=16,
)
model = BertForSequenceClassification(config)
with tempfile.TemporaryDirectory() as folder:
    arguments = TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=4,
        max_steps=10,
        learning_rate=1e-3,
        warmup_steps=2,
        weight_decay=0.05,
        lr_scheduler_type="cosine",
        save_strategy="no",
        report_to="none",
        logging_steps=2,
        use_cpu=True,
        seed=21,
    )
    trainer = SmoothTrainer(model=model, args=arguments, train_dataset=Rows(32, 0))
    trainer.train()
print([entry["loss"] for entry in trainer.state.log_history if "loss" in entry])
