"""Low-rank adapters on a small GPT-2: the body is frozen, only the adapters train."""

import torch
from peft import LoraConfig, TaskType, get_peft_model
from torch.utils.data import DataLoader
from transformers import GPT2Config, GPT2LMHeadModel, get_linear_schedule_with_warmup

torch.manual_seed(17)

config = GPT2Config(vocab_size=32, n_positions=16, n_embd=32, n_layer=2, n_head=2)
model = GPT2LMHeadModel(config)

peft_config = LoraConfig(
    task_type=TaskType.CAUSAL_LM,
    r=4,
    lora_alpha=16,
    lora_dropout=0.1,
    target_modules=["c_attn"],
    fan_in_fan_out=True,
)
model = get_peft_model(model, peft_config)
model.print_trainable_parameters()

start = torch.randint(0, 32, (32, 1))
sequences = (start + 3 * torch.arange(12)) % 32
train_dataloader = DataLoader(sequences, batch_size=8, shuffle=True)

num_epochs = 2
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
lr_scheduler = get_linear_schedule_with_warmup(
    optimizer=optimizer,
    num_warmup_steps=0,
    num_training_steps=len(train_dataloader) * num_epochs,
)

for epoch in range(num_epochs):
    model.train()
    total_loss = 0
    for batch in train_dataloader:
        outputs = model(input_ids=batch, labels=batch)
        loss = outputs.loss
        total_loss += loss.detach().float()
        loss.backward()
        optimizer.step()
        lr_scheduler.step()
        optimizer.zero_grad()
    print(f"epoch {epoch}: {total_loss / len(train_dataloader)}")
