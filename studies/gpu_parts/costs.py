"""What the harness costs on a GPU: digests beside one read of memory, and traced steps."""

from __future__ import annotations

import gc
import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn

from harness.results.record import RecordWriter
from harness.results.report import REPORT_FILE
from harness.spec.recipe import Device
from harness.tracing import digest
from harness.tracing.device_digest import implementation, word_sums
from harness.tracing.listener import Listener
from harness.tracing.options import TraceOptions
from harness.tracing.probe import TraceProbe

__all__ = ["bench", "digests", "traces"]

_WORDS = 110_000_000  # about the weights of BERT-base
_REPEATS, _STEPS = 10, 20
_LIMITS = {"full": 1.06, "weights": 1.03}
_SLOW = Path(__file__).parents[1] / "slow_loops"

Figures = dict[str, Any]


def digests(device: Device, folder: Path, jobs: int, words: int = _WORDS) -> Figures:
    """Digests take at most twice the time of one read at copy bandwidth."""
    if not torch.cuda.is_available():
        raise RuntimeError("times are measured with CUDA events, and there is no CUDA device")
    torch.manual_seed(1)
    tensors = [torch.randn(words // 200, device=device) for _ in range(200)]
    source = torch.cat(tensors)
    target = torch.empty_like(source)
    copy_s = _median_s(lambda: target.copy_(source))
    read_s = copy_s / 2  # a copy reads and writes
    digest_s = _median_s(lambda: word_sums(tensors))
    return {
        "computed by": implementation(torch.device(device)),
        "words": words // 200 * 200,
        "digest_s": digest_s,
        "read_s": read_s,
        "ratio": digest_s / read_s,
        "holds": digest_s <= 2 * read_s,
    }


def traces(device: Device, folder: Path, jobs: int, tiny: bool = False) -> Figures:
    """A full trace takes at most 1.06 of a bare step, one of the weights 1.03."""
    models: dict[str, Callable[[], tuple[nn.Module, tuple[int, int], int]]] = {
        "BERT-base": lambda: _bert(tiny),
        "Llama, 1 B parameters, bf16": lambda: _llama(tiny),
    }
    digest.choose("device", torch.device(device))
    figures: Figures = {}
    for name, make in models.items():
        figures[name] = _trace_cost(make, device, folder / name.partition(",")[0])
        gc.collect()
        if device == "cuda":
            torch.cuda.empty_cache()
    ratios = [(level, each[level]) for each in figures.values() for level in _LIMITS]
    return {**figures, "holds": all(ratio <= _LIMITS[level] for level, ratio in ratios)}


def bench(device: Device, folder: Path, jobs: int, budget_s: int = 60) -> Figures:
    """A loop that is slowed by 5% is called slower."""
    words = ["bench", "--loops", f"plain,{_SLOW / 'slow_by_5_percent.py'}", "--device", device]
    out = folder / "bench"
    command = [*words, "--budget", str(budget_s), "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-m", "harness", *command], capture_output=True, text=True, check=False
    )
    report = json.loads((out / REPORT_FILE).read_text(encoding="utf-8"))
    found = [each for one in report["comparisons"] for each in one["findings"]]
    outcomes = {each["metric"]: each["outcome"] for each in found}
    return {
        "exit code": done.returncode,
        "outcomes": outcomes,
        "holds": "slower" in outcomes.values(),
    }


def _bert(tiny: bool) -> tuple[nn.Module, tuple[int, int], int]:
    """A model, the shape of its batch, and its vocabulary."""
    sizes: dict[str, Any] = {}
    if tiny:
        sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.BertConfig(**sizes)
    return transformers.BertForMaskedLM(config), (8, 64), config.vocab_size


def _llama(tiny: bool) -> tuple[nn.Module, tuple[int, int], int]:
    sizes: dict[str, Any] = {"hidden_size": 2048, "intermediate_size": 5632}
    sizes |= {"num_hidden_layers": 22, "num_attention_heads": 32, "num_key_value_heads": 4}
    if tiny:
        sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
        sizes |= {"num_attention_heads": 2, "num_key_value_heads": 2}
    config = transformers.LlamaConfig(vocab_size=32_000, **sizes)
    shape = (2, 8) if tiny else (4, 512)
    return transformers.LlamaForCausalLM(config).bfloat16(), shape, config.vocab_size


def _trace_cost(make: Callable[[], Any], device: Device, folder: Path) -> Figures:
    """The median step of a bare training, and the ratios of traced ones to it."""
    seconds = {level: _step_s(make, device, folder / level, level) for level in ("bare", *_LIMITS)}
    ratios = {level: seconds[level] / seconds["bare"] for level in _LIMITS}
    return {"bare_step_s": seconds["bare"], **ratios}


def _step_s(make: Callable[[], Any], device: Device, folder: Path, level: str) -> float:
    """The median seconds of a step, from one end of a step to the next."""
    torch.manual_seed(1)
    model, shape, vocabulary = make()
    model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    tokens = torch.randint(vocabulary, shape, device=device)
    probe = None
    if level != "bare":
        options = TraceOptions(detail="full" if level == "full" else "weights")
        probe = TraceProbe(RecordWriter(folder), Listener(), options, processes=1)
        probe.watch(model, optimizer)

    def step() -> None:
        model(input_ids=tokens, labels=tokens).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    seconds = _median_s(step, _STEPS)
    if probe is not None:
        probe.close()
        if probe.counts.probe_fault is not None:
            raise RuntimeError(probe.counts.probe_fault)
    return seconds


def _median_s(action: Callable[[], object], repeats: int = _REPEATS) -> float:
    """The median seconds of an action, by the clock of CUDA where there is one."""
    for _ in range(3):
        action()
    times: list[float] = []
    for _ in range(repeats):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        action()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) / 1000)
    return statistics.median(times)
