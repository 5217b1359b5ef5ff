import tempfile

import torch
from torch.utils.data import Dataset
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments, set_seed

PAD, END = 0, 1


class Sums(Dataset):
    """Each token is the sum of the two before it, until an end at some place."""

    def __init__(self, count=56):
        draw = torch.Generator().manual_seed(14)
        self.rows = []
        for _ in range(count):
            length = int(torch.randint(4, 12, (), generator=draw))
            tokens = torch.randint(2, 24, (2,), generator=draw).tolist()
            while len(tokens) < length:
                tokens.append(2 + (tokens[-1] + tokens[-2]) % 22)
            self.rows.append([*tokens, END])

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return {"input_ids": self.rows[index]}


def collate(rows):
    longest = max(len(row["input_ids"]) for row in rows)
    batch = {"input_ids": [], "attention_mask": [], "labels": []}
    for row in rows:
        ids, missing = row["input_ids"], longest - len(row["input_ids"])
        batch["input_ids"].append(ids + [PAD] * missing)
        batch["attention_mask"].append([1] * len(ids) + [0] * missing)
        batch["labels"].append([-100, -100, *ids[2:]] + [-100] * missing)
    return {name: torch.tensor(rows) for name, rows in batch.items()}


class CausalTrainer(Trainer):
    def create_optimizer(self, model=None):
        if self.optimizer is None:
            names = [name for name, _ in self.model.named_parameters()]
            spared = {name for name in names if name.endswith("bias") or "ln_" in name or "wpe" in name}
            named = list(self.model.named_parameters())
            self.optimizer = torch.optim.AdamW(
                [
                    {"params": [p for name, p in named if name not in spared], "weight_decay": 0.1},
                    {"params": [p for name, p in named if name in spared], "weight_decay": 0.0},
                ],
                lr=self.args.learning_rate, betas=(0.9, 0.98), eps=1e-7,
            )
        return self.optimizer


def main(folder):
    set_seed(17)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=24, n_positions=16, n_embd=24, n_layer=2, n_head=2, bos_token_id=END,
            eos_token_id=END, resid_pdrop=0.05, embd_pdrop=0.05, attn_pdrop=0.05,
        )
    )
    args = TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=4,
        gradient_accumulation_steps=3,
        num_train_epochs=2,
        learning_rate=4e-3,
        lr_scheduler_type="cosine",
        warmup_steps=2,
        max_grad_norm=0.7,
        seed=17,
        data_seed=18,
        use_cpu=True,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = CausalTrainer(model=model, args=args, train_dataset=Sums(), data_collator=collate)
    trainer.train()


with tempfile.TemporaryDirectory() as folder:
    main(folder)
