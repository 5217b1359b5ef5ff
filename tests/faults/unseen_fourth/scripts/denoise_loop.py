import torch

WIDTH, CODE, BATCH, EPOCHS = 32, 10, 12, 3

pick = torch.Generator().manual_seed(91)
phase = 6.28 * torch.rand(60, 1, generator=pick)
pitch = 0.2 + 0.5 * torch.rand(60, 1, generator=pick)
data = torch.sin(phase + pitch * torch.arange(WIDTH))

torch.manual_seed(90)
start = torch.nn.Linear(WIDTH, CODE)
weight, bias = start.weight, start.bias
back = torch.zeros(WIDTH, requires_grad=True)
torch.nn.init.orthogonal_(weight)

optimizer = torch.optim.Adamax([weight, bias, back], lr=1e-2, weight_decay=1e-3)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
pick = torch.Generator().manual_seed(92)
for epoch in range(EPOCHS):
    order = torch.randperm(len(data), generator=pick)
    for at in range(0, len(data), BATCH):
        x = data[order[at : at + BATCH]]
        noise = 0.3 * torch.randn(x.shape, generator=pick)
        noisy = x + noise
        code = torch.nn.functional.linear(noisy, weight, bias).tanh()
        output = torch.nn.functional.linear(code, weight.t(), back)
        reconstruction = ((output - x) ** 2).mean()
        sparsity = code.abs().mean()
        loss = reconstruction + 1e-2 * sparsity
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        print(f"{epoch} {reconstruction.item():.4f} {sparsity.item():.4f}")
    scheduler.step()
