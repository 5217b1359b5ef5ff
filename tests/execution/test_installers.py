"""uv if it is on the PATH, pip otherwise: the same index, the same checks, only what differs."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.errors import SpecError
from harness.execution.environments import installers
from harness.execution.environments.installers import installer
from harness.execution.environments.interpreter import ask
from harness.execution.environments.requirements import parse
from harness.execution.environments.venv import environment_with
from tests.support.fake_packages import NAME, releases

__all__ = ["releases"]  # the fixture

FAKE_UV = f"""#!{sys.executable}
import json, os, pathlib, shutil, sys

arguments = sys.argv[1:]
python = pathlib.Path(arguments[arguments.index("--python") + 1])
(site,) = (python.parent.parent / "lib").glob("python*/site-packages")
noted = {{
    "arguments": arguments,
    "variables": {{n: v for n, v in os.environ.items() if n.startswith("UV_")}},
    "seen": sorted(p.name for p in site.glob("*.dist-info")),
}}
pathlib.Path(os.environ["NOTED"]).write_text(json.dumps(noted))
print("Resolved 2 packages in 1ms", flush=True)
if os.environ.get("FAILS"):
    print("error: No solution found when resolving dependencies")
    print("  cause: Because there is no version of {NAME}==9.9, it cannot be installed.")
    sys.exit(1)
info = site / "{NAME}-1.0.dist-info"
info.mkdir()
(info / "METADATA").write_text("Name: {NAME}\\nVersion: 1.0\\n")
(info / "INSTALLER").write_text("uv\\n")
shutil.rmtree(next(site.glob("packaging-*.dist-info")))  # as if it were upgraded
"""


@pytest.fixture
def uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for uv, first on the PATH; the file that is returned holds what it was given."""
    program = tmp_path / "bin" / "uv"
    program.parent.mkdir()
    program.write_text(FAKE_UV, encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(installers, "_UV", "uv")  # the fixture `releases` hides uv
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("NOTED", str(tmp_path / "noted.json"))
    for name in [name for name in os.environ if name.startswith("UV_")]:
        monkeypatch.delenv(name)
    return tmp_path / "noted.json"


def noted(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def test_uv_installs_from_the_index_of_pip_and_sees_what_is_here(releases: Path, uv: Path) -> None:
    """uv gets pip's index, and sees the packages of this environment as installed."""
    messages: list[str] = []
    found = environment_with(parse(f"{NAME}==1.0"), None, messages.append)
    assert "1.0" == found.versions[NAME]
    assert f"{NAME}==1.0: uv: Resolved 2 packages in 1ms" in messages
    given = noted(uv)
    assert ["pip", "install"] == given["arguments"][:2]
    assert {f"{NAME}==1.0", "torch>=2.8", "numpy"} <= set(given["arguments"])
    assert os.environ["PIP_INDEX_URL"] == given["variables"]["UV_DEFAULT_INDEX"]
    assert "unsafe-best-match" == given["variables"]["UV_INDEX_STRATEGY"]
    here = ask(None).versions
    assert f"numpy-{here['numpy']}.dist-info" in given["seen"]
    assert f"torch-{here['torch']}.dist-info" in given["seen"]


def test_the_copies_of_metadata_are_removed(releases: Path, uv: Path) -> None:
    """Of all that uv saw as installed, only what it installed itself remains."""
    found = environment_with(parse(f"{NAME}==1.0"), None, lambda text: None)
    assert found.python is not None
    (site,) = (Path(found.python).parents[1] / "lib").glob("python*/site-packages")
    assert [f"{NAME}-1.0.dist-info"] == [path.name for path in site.glob("*.dist-info")]
    assert found.versions["packaging"] == ask(None).versions["packaging"]


def test_a_complaint_of_uv_is_one_line_and_leaves_nothing(
    releases: Path, uv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names uv and the reason that uv gives."""
    monkeypatch.setenv("FAILS", "1")
    with pytest.raises(
        SpecError, match=rf"uv can install {NAME}==9\.9 here.*no version of"
    ) as caught:
        environment_with(parse(f"{NAME}==9.9"), None, lambda text: None)
    assert "\n" not in str(caught.value)
    kept = [p.name for p in (releases / "environments").iterdir() if p.suffix != ".lock"]
    assert [] == kept


def test_what_uv_did_not_install_is_refused(releases: Path, uv: Path) -> None:
    """The same check as with pip: the interpreter is asked what it has."""
    with pytest.raises(SpecError, match=rf"an environment made with {NAME}==1\.1 has it"):
        environment_with(parse(f"{NAME}==1.1"), None, lambda text: None)


def test_settings_of_uv_have_priority(
    releases: Path, uv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What somebody set for uv is not replaced by what is set for pip."""
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://example.invalid/simple")
    environment_with(parse(f"{NAME}==1.0"), None, lambda text: None)
    assert "https://example.invalid/simple" == noted(uv)["variables"]["UV_DEFAULT_INDEX"]


def test_pip_is_used_where_there_is_no_uv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With neither of them, one line states the remedy."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "pip" == installer()
    monkeypatch.setattr(installers, "distributions", lambda name: [])
    with pytest.raises(SpecError, match=r"neither is installed.*ensurepip"):
        installer()


def test_settings_of_pip_become_those_of_uv() -> None:
    """Lists are separated as uv separates them; what is not set is left out."""
    of_pip = {
        "index-url": "https://one.invalid/simple",
        "extra-index-url": "\nhttps://two.invalid\nfile:///three",
        "find-links": "/wheels /more",
        "constraint": "",
        "timeout": "9",
    }
    assert {
        "UV_DEFAULT_INDEX": "https://one.invalid/simple",
        "UV_INDEX": "https://two.invalid file:///three",
        "UV_FIND_LINKS": "/wheels,/more",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    } == installers._uv_settings(of_pip)
