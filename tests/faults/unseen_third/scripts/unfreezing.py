import torch
from torch import nn

torch.manual_seed(200)
body = nn.Sequential(nn.Linear(9, 20), nn.LayerNorm(20), nn.SiLU())
middle = nn.Sequential(nn.Linear(20, 20), nn.LayerNorm(20), nn.SiLU())
head = nn.Linear(20, 1)
model = nn.Sequential(body, middle, head)

source = torch.randn(64, 9)
shown = torch.sin(2 * source[:, :1]) + source[:, 1:2]
pretraining = torch.optim.Adam(model.parameters(), lr=1e-2)
for _ in range(3):
    loss = nn.functional.mse_loss(model(source), shown)
    pretraining.zero_grad()
    loss.backward()
    pretraining.step()
    print("pretraining", loss.item())
pretraining.zero_grad()

goal = torch.sin(2 * source[:, :1]) * source[:, 1:2]
nn.init.normal_(head.weight, std=0.05)
nn.init.zeros_(head.bias)
body.requires_grad_(False)
middle.requires_grad_(False)
optimizer = torch.optim.AdamW(head.parameters(), lr=1e-2, weight_decay=0.05)
for step in range(9):
    if step == 3:
        middle.requires_grad_(True)
        optimizer.add_param_group({"params": middle.parameters(), "lr": 4e-3})
    if step == 6:
        body.requires_grad_(True)
        optimizer.add_param_group({"params": body.parameters(), "lr": 1e-3})
    optimizer.zero_grad()
    rows = torch.randint(64, (20,))
    loss = nn.functional.mse_loss(model(source[rows]), goal[rows])
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    print("fine-tuning", step, loss.item())
