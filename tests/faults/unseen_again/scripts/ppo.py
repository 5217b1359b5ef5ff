import torch
from torch import nn
from torch.distributions import Categorical

torch.manual_seed(404)
GAMMA, LAMBDA, CLIP, HORIZON = 0.97, 0.9, 0.2, 24
actor = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 2))
critic = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 1))
optimizer = torch.optim.Adam([*actor.parameters(), *critic.parameters()], lr=3e-3, eps=1e-5)


def rollout(state):
    states, actions, rewards, dones = [], [], [], []
    for _ in range(HORIZON):
        action = Categorical(logits=actor(state)).sample()
        following = 0.8 * state + 0.3 * torch.randn(3) + (0.2 if action else -0.2)
        done = bool(following.norm() > 1.6)
        states.append(state)
        actions.append(action)
        rewards.append(1.0 - float(following.norm()))
        dones.append(float(done))
        state = torch.zeros(3) if done else following
    return torch.stack([*states, state]), torch.stack(actions), rewards, dones


for iteration in range(3):
    with torch.no_grad():
        states, actions, rewards, dones = rollout(0.5 * torch.randn(3))
        values = critic(states).squeeze(1)
        old_log_probs = Categorical(logits=actor(states[:-1])).log_prob(actions)
        advantages, carried = torch.zeros(HORIZON), 0.0
        for t in reversed(range(HORIZON)):
            alive = 1.0 - dones[t]
            delta = rewards[t] + GAMMA * values[t + 1] * alive - values[t]
            carried = delta + GAMMA * LAMBDA * alive * carried
            advantages[t] = carried
        returns = advantages + values[:-1]
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    for rows in torch.randperm(HORIZON).split(6):
        policy = Categorical(logits=actor(states[rows]))
        ratio = (policy.log_prob(actions[rows]) - old_log_probs[rows]).exp()
        gain = torch.min(ratio * advantages[rows], ratio.clamp(1 - CLIP, 1 + CLIP) * advantages[rows])
        value_loss = (critic(states[rows]).squeeze(1) - returns[rows]).pow(2).mean()
        loss = -gain.mean() + 0.5 * value_loss - 0.01 * policy.entropy().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_([*actor.parameters(), *critic.parameters()], 0.5)
        optimizer.step()
    print(iteration, sum(rewards), loss.item())
