import torch
from torch import nn
from torch.distributions import Categorical
from torch.nn import functional as F


class Corridor:
    """Several walkers; the right end pays, the left end costs, and both end an episode."""

    def __init__(self, walkers, size=7):
        self.size, self.draw = size, torch.Generator().manual_seed(91)
        self.places = torch.full((walkers,), size // 2)

    def observe(self):
        return F.one_hot(self.places, self.size).float()

    def step(self, moves):
        slip = torch.rand(moves.shape, generator=self.draw) < 0.1
        self.places = self.places + torch.where(slip, 1 - 2 * moves, 2 * moves - 1)
        right, left = self.places >= self.size - 1, self.places <= 0
        rewards = right.float() - 0.5 * left.float() - 0.02
        done = right | left
        self.places = torch.where(done, self.size // 2, self.places)
        return self.observe(), rewards, done


class Agent(nn.Module):
    def __init__(self):
        super().__init__()
        self.shared = nn.Sequential(nn.Linear(7, 24), nn.Tanh())
        self.actor, self.critic = nn.Linear(24, 2), nn.Linear(24, 1)

    def forward(self, seen):
        features = self.shared(seen)
        return Categorical(logits=self.actor(features)), self.critic(features).squeeze(-1)


torch.manual_seed(90)
world, agent = Corridor(8), Agent()
optimizer = torch.optim.RMSprop(agent.parameters(), lr=5e-3, alpha=0.99, eps=1e-5)
seen = world.observe()
for update in range(12):
    log_probs, values, entropies, rewards, dones = [], [], [], [], []
    for _ in range(5):
        policy, value = agent(seen)
        moves = policy.sample()
        seen, reward, done = world.step(moves)
        log_probs.append(policy.log_prob(moves))
        values.append(value)
        entropies.append(policy.entropy())
        rewards.append(reward)
        dones.append(done.float())
    with torch.no_grad():
        carried = agent(seen)[1]
    returns = []
    for reward, done in zip(reversed(rewards), reversed(dones)):
        carried = reward + 0.95 * carried * (1 - done)
        returns.insert(0, carried)
    returns, values = torch.stack(returns), torch.stack(values)
    advantages = (returns - values).detach()
    actor_loss = -(torch.stack(log_probs) * advantages).mean()
    critic_loss = F.mse_loss(values, returns)
    loss = actor_loss + 0.5 * critic_loss - 0.01 * torch.stack(entropies).mean()
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
    optimizer.step()
    print(update, loss.item())
