"""The fixture of the tests of `harness check`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.check_world import World


@pytest.fixture
def world(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> World:
    return World(tmp_path, monkeypatch, capsys)
