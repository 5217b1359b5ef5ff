import tempfile

import torch
from torch import nn
from torch.utils.data import Dataset, Sampler
from transformers import Trainer, TrainingArguments, set_seed


class Reviews(Dataset):
    def __init__(self, count=44, seed=51, words=50):
        draw = torch.Generator().manual_seed(seed)
        self.rows = []
        for _ in range(count):
            length = int(torch.randint(4, 13, (), generator=draw))
            text = torch.randint(1, words, (length,), generator=draw).tolist()
            praise = sum(word >= 30 for word in text)
            blame = sum(10 <= word < 20 for word in text)
            score = praise - 2 * blame
            self.rows.append({"input_ids": text, "labels": 0 if score < 0 else 1 if score < 4 else 2})

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


class Shuffled(Sampler):
    """A new order in each epoch, which follows from the seed and the epoch."""

    def __init__(self, rows, seed):
        self.rows, self.seed, self.epoch = rows, seed, 0

    def __len__(self):
        return len(self.rows)

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        draw = torch.Generator().manual_seed(self.seed + self.epoch)
        return iter(torch.randperm(len(self.rows), generator=draw).tolist())


def collate(rows):
    longest = max(len(row["input_ids"]) for row in rows)
    ids = [row["input_ids"] + [0] * (longest - len(row["input_ids"])) for row in rows]
    return {"input_ids": torch.tensor(ids), "labels": torch.tensor([row["labels"] for row in rows])}


class ConvClassifier(nn.Module):
    def __init__(self, words=50, classes=3):
        super().__init__()
        self.embed = nn.Embedding(words, 24, padding_idx=0)
        self.conv = nn.Conv1d(24, 32, kernel_size=3, padding=1)
        self.norm = nn.LayerNorm(32)
        self.dropout = nn.Dropout(0.2)
        self.classifier = nn.Linear(32, classes)
        self.criterion = nn.CrossEntropyLoss()

    def forward(self, input_ids, labels=None):
        mask = input_ids.ne(0)[:, :, None]
        hidden = self.conv(self.embed(input_ids).transpose(1, 2)).relu().transpose(1, 2)
        mean = (hidden * mask).sum(1) / mask.sum(1)
        logits = self.classifier(self.dropout(self.norm(mean)))
        return {"loss": self.criterion(logits, labels), "logits": logits}


class ReviewTrainer(Trainer):
    def _get_train_sampler(self, train_dataset=None):
        return Shuffled(self.train_dataset, seed=52)


def main(folder):
    set_seed(50)
    args = TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=8,
        max_steps=12,
        learning_rate=3e-3,
        weight_decay=0.05,
        optim="adamw_torch",
        warmup_steps=3,
        max_grad_norm=0.8,
        seed=50,
        use_cpu=True,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = ReviewTrainer(model=ConvClassifier(), args=args, train_dataset=Reviews(), data_collator=collate)
    trainer.train()


with tempfile.TemporaryDirectory() as folder:
    main(folder)
