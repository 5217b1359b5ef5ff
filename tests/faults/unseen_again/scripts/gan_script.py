import torch
import torch.nn.functional as F

torch.manual_seed(99)
phi = torch.rand(80) * 6.2832
ring = torch.stack([phi.sin(), phi.cos()], dim=1)
maker = torch.nn.Sequential(torch.nn.Linear(3, 24), torch.nn.LeakyReLU(0.1), torch.nn.Linear(24, 2))
judge = torch.nn.Sequential(torch.nn.Linear(2, 24), torch.nn.LeakyReLU(0.1), torch.nn.Linear(24, 1))
opt_judge = torch.optim.Adam(judge.parameters(), lr=2e-3, betas=(0.5, 0.9))
opt_maker = torch.optim.Adam(maker.parameters(), lr=2e-3, betas=(0.5, 0.9))
yes, no = torch.ones(10, 1), torch.zeros(10, 1)

for round_number in range(6):
    batch = ring[torch.randint(80, (10,))]

    # the judge learns
    z = torch.randn(10, 3)
    made = maker(z)
    loss_judge = F.binary_cross_entropy_with_logits(judge(batch), yes)
    loss_judge = loss_judge + F.binary_cross_entropy_with_logits(judge(made.detach()), no)
    loss_judge.backward()
    opt_judge.step()

    # the maker learns
    z = torch.randn(10, 3)
    opt_judge.zero_grad()
    loss_maker = F.binary_cross_entropy_with_logits(judge(maker(z)), yes)
    loss_maker.backward()
    opt_maker.step()

    opt_judge.zero_grad()
    opt_maker.zero_grad()
    print(f"{round_number:2d} judge {loss_judge:.6f} maker {loss_maker:.6f}")
