import tempfile

import torch
from torch.utils.data import Dataset
from transformers import BertConfig, BertForTokenClassification, Trainer, TrainingArguments, set_seed


class Tagged(Dataset):
    def __init__(self):
        generator = torch.Generator().manual_seed(3)
        tokens = torch.randint(1, 30, (40, 10), generator=generator)
        lengths = torch.randint(5, 11, (40,), generator=generator)
        self.mask = (torch.arange(10)[None] < lengths[:, None]).long()
        self.tokens = tokens * self.mask

    def __len__(self):
        return 40

    def __getitem__(self, index):
        tokens, mask = self.tokens[index], self.mask[index]
        labels = (tokens % 3).masked_fill(mask == 0, -100)
        return {"input_ids": tokens, "attention_mask": mask, "labels": labels}


class FixedOrderTrainer(Trainer):
    def _get_train_sampler(self, train_dataset=None):
        return [place * 7 % 40 for place in range(40)]


def run(folder):
    set_seed(1)
    model = BertForTokenClassification(
        BertConfig(
            vocab_size=30, hidden_size=24, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=40, max_position_embeddings=12, num_labels=3,
        )
    )
    settings = TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=4,
        num_train_epochs=1,
        learning_rate=2e-3,
        warmup_steps=3,
        weight_decay=0.01,
        max_grad_norm=0.5,
        optim="adamw_torch",
        seed=1,
        use_cpu=True,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = FixedOrderTrainer(model=model, args=settings, train_dataset=Tagged())
    trainer.train()


with tempfile.TemporaryDirectory() as folder:
    run(folder)
