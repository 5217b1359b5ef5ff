import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from transformers import get_cosine_schedule_with_warmup


def main():
    set_seed(303)
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=3)
    features = torch.randn(72, 9)
    labels = (features @ torch.randn(9, 4)).argmax(dim=1)
    loader = DataLoader(TensorDataset(features, labels), batch_size=4, shuffle=True)
    model = nn.Sequential(nn.Linear(9, 24), nn.SiLU(), nn.Dropout(0.1), nn.Linear(24, 4))
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    scheduler = get_cosine_schedule_with_warmup(optimizer, num_warmup_steps=2, num_training_steps=12)
    model, optimizer, loader, scheduler = accelerator.prepare(model, optimizer, loader, scheduler)
    model.train()
    for epoch in range(2):
        total = torch.zeros(())
        for inputs, wanted in loader:
            with accelerator.accumulate(model):
                loss = F.cross_entropy(model(inputs), wanted)
                total += loss.detach()
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad()
        accelerator.print(f"epoch {epoch}: {total / len(loader):.4f}")


if __name__ == "__main__":
    main()
