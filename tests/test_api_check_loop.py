"""Every built-in loop keeps the contract of a loop, and the check of it finds loops that do not."""

from __future__ import annotations

from pathlib import Path

import pytest

import harness
from harness.api.check_loop import broken_rules
from harness.spec import registry

pytestmark = pytest.mark.slow

STARTER = Path(harness.__file__).parent / "training" / "starters" / "loop.py"
BROKEN = {
    "raises": ("loss.backward()", "raise ValueError('no')", "ValueError: no (raises.py:"),
    "stops": ("if step == num_steps:", "if step == 2:", "as its recipe asks for: 2 of 6"),
    "seedless": ("recipe.seed + epoch", "epoch + int(torch.seed() % 10**6)", "it repeats itself"),
    "repeats": ("order = torch.randperm", "order = [0] * 8 or torch.randperm", "repeats rows"),
}


def test_every_built_in_loop_keeps_the_contract() -> None:
    """So does the starter that a user begins with."""
    found = broken_rules([*registry.loops(), str(STARTER)], {})
    assert [] == [f"{loop}: {rules}" for loop, rules in found.items() if rules]
    assert {"plain", "fabric", "lightning", "minimal"} <= found.keys()


def test_a_broken_loop_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: each fault breaks its rule, and the door raises it for a test of the user's."""
    monkeypatch.chdir(tmp_path)
    text = STARTER.read_text(encoding="utf-8")
    for name, (right, wrong, _) in BROKEN.items():
        assert 1 == text.count(right), right
        Path(f"{name}.py").write_text(text.replace(right, wrong), encoding="utf-8")
    found = broken_rules([f"{name}.py" for name in BROKEN], {})
    for name, (_, _, rule) in BROKEN.items():
        assert rule in "; ".join(found[f"{name}.py"]), found
    with pytest.raises(AssertionError, match=r"stops.py breaks the contract of a loop: .*2 of 6"):
        harness.check_loop("stops.py")
