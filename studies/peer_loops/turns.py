"""A plain fine-tuning of a BERT on MRPC, without the harness, that computes only when it may.

    MODEL=FOLDER MRPC=FOLDER python studies/peer_loops/turns.py

Alone it trains 8 steps. With `TURN_GO` and `TURN_DONE`, the paths of two FIFOs, it waits before
each block for a line with a number of steps. It answers with numbers: wall seconds of the block,
seconds in which its thread waited for a core, CPU seconds, the last loss, and the CPU seconds since
its start. The line `0` ends the training. So trainings under several tools can take turns.
"""

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import AutoModelForSequenceClassification, AutoTokenizer, get_scheduler

torch.manual_seed(42)
torch.set_num_threads(1)
tokenizer = AutoTokenizer.from_pretrained(os.environ["MODEL"])
model = AutoModelForSequenceClassification.from_pretrained(os.environ["MODEL"], num_labels=2)
with open(os.path.join(os.environ["MRPC"], "train.jsonl"), encoding="utf-8") as lines:
    rows = [json.loads(line) for line in lines]


def collate(batch: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    pairs = [row["sentence1"] for row in batch], [row["sentence2"] for row in batch]
    tokens = tokenizer(*pairs, truncation=True, padding=True, return_tensors="pt")
    return {**tokens, "labels": torch.tensor([row["label"] for row in batch])}


loader: Any = DataLoader(rows, batch_size=8, shuffle=True, collate_fn=collate)  # type: ignore[arg-type]
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5)
scheduler = get_scheduler("linear", optimizer, num_warmup_steps=0, num_training_steps=1377)
model.train()


def batches() -> Iterator[dict[str, torch.Tensor]]:
    while True:
        yield from loader


def train(source: Iterator[dict[str, torch.Tensor]], steps: int) -> float:
    for _ in range(steps):
        loss = model(**next(source)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
    return float(loss.detach())


def clocks() -> tuple[float, float, float]:
    with open("/proc/thread-self/schedstat", encoding="utf-8") as file:
        waited_s = int(file.read().split()[1]) / 1e9
    return time.perf_counter(), waited_s, time.process_time()


source = batches()
if "TURN_GO" in os.environ:
    with open(os.environ["TURN_GO"]) as go, open(os.environ["TURN_DONE"], "w") as done:
        while (steps := int(go.readline() or 0)) > 0:
            before = clocks()
            loss = train(source, steps)
            after = clocks()
            spent = [b - a for a, b in zip(before, after, strict=True)]
            done.write(json.dumps([*spent, loss, after[2]]) + "\n")
            done.flush()
else:
    print("loss", train(source, 8))  # noqa: T201  # its only output
