"""A training without any harness, for tracers that run a script. It measures its own steps.

`MODEL=FOLDER python studies/peer_loops/script.py` runs it alone. Another tracer runs it with
`MODEL=FOLDER traincheck-collect -p studies/peer_loops/script.py -t torch --models-to-track model`.
It prints the wall and CPU seconds of each step except the first. Batches are as large as MRPC's.
"""

import os
import time

import torch
from transformers import AutoModelForSequenceClassification

torch.manual_seed(42)
torch.set_num_threads(1)
model = AutoModelForSequenceClassification.from_pretrained(os.environ["MODEL"])
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, fused=True)
model.train()
since = None
for step in range(1, 5):
    tokens = torch.randint(1000, 20000, (8, 64))
    loss = model(input_ids=tokens, labels=torch.randint(0, 2, (8,))).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    now = time.perf_counter(), time.process_time()
    if since is not None:
        print(f"step {step}: wall {now[0] - since[0]:.3f} s, CPU {now[1] - since[1]:.3f} s")  # noqa: T201  # its only output
    since = now
