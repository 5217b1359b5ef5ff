"""Where the tensors of a traced command are digested."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.comparison.compare import compare
from harness.spec.command import CommandSpec
from tests.support.commands import traced

pytestmark = pytest.mark.slow

TRAIN = """
import torch
torch.manual_seed(1)
model = torch.nn.Linear(4, 2)
optimizer = torch.optim.Adam(model.parameters())
for step in range(2):
    optimizer.zero_grad()
    model(torch.randn(3, 4)).square().mean().backward()
    optimizer.step()
"""


def test_the_digests_of_a_command_are_those_asked_for(tmp_path: Path) -> None:
    """By default those of the host on a CPU, which are other numbers; another place is refused."""
    (tmp_path / "train.py").write_text(TRAIN, encoding="utf-8")
    words = [sys.executable, "train.py"]
    _, (host,) = traced(words, tmp_path, "host")
    _, (device,) = traced(words, tmp_path, "device", options=("--digests", "device"))
    found = [record.header.digest_algorithm for record in (host, device)]
    assert ["xxh3_64", "splitmix64_sums"] == found
    specs = [r.spec.digests for r in (host, device) if isinstance(r.spec, CommandSpec)]
    assert [None, "device"] == specs
    assert host.losses.equals(device.losses)
    assert "incomparable" == compare(host, device, ("host", "device")).outcome

    refused, records = traced(words, tmp_path, "magic", options=("--digests", "magic"))
    assert (2, []) == (refused.returncode, records)
    assert "digests" in refused.stderr
