"""Environments: named, kept, complete or absent. The installer sees only wheels of the test."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from harness.errors import SpecError
from harness.execution.environments import installers
from harness.execution.environments import venv as environments
from harness.execution.environments.interpreter import Libraries, ask
from harness.execution.environments.requirements import parse
from harness.execution.environments.venv import environment_with, name_of
from tests.support.fake_packages import NAME, releases

__all__ = ["releases"]  # the fixture

BASE = Libraries(None, {"python": "3.11.9", "torch": "2.13.0"})


def made(version: str, messages: list[str] | None = None) -> Libraries:
    return environment_with(parse(f"{NAME}=={version}"), None, (messages or []).append)


def folders(cache: Path) -> list[str]:
    """What is kept, locks aside."""
    return [p.name for p in (cache / "environments").iterdir() if p.suffix != ".lock"]


def test_a_name_depends_on_requirements_and_base() -> None:
    """On the requirements, in any order, and on the packages of the base environment."""
    one = name_of(parse("a==1, b==2"), BASE)
    assert one == name_of(parse("b==2, a==1"), BASE)
    assert one.startswith("a-b-")
    other = Libraries(None, {**BASE.versions, "torch": "2.12.0"})
    assert 4 == len(
        {
            one,
            name_of(parse("a==1"), BASE),
            name_of(parse("a==1, b==3"), BASE),
            name_of(parse("a==1, b==2"), other),
        }
    )


@pytest.mark.slow
def test_an_environment_has_the_requirements_and_all_else_of_this_one(
    releases: Path,
) -> None:
    """Only what differs is installed. It is made once and reused; 1.10 makes another one."""
    messages: list[str] = []
    found = environment_with(parse(f"{NAME}==1.1"), None, messages.append)
    assert ("1.1", (NAME,)) == (found.versions[NAME], found.asked)
    here = ask(None).versions
    assert {NAME: "1.1"} == {n: v for n, v in found.versions.items() if here.get(n) != v}
    assert [f"{NAME}==1.1: venv"] == messages[:1]
    before = folders(releases)
    again: list[str] = []
    assert found == environment_with(parse(f"{NAME}==1.1"), None, again.append)
    assert ([], before) == (again, folders(releases))
    assert "1.10" == made("1.10").versions[NAME]
    assert 2 == len(folders(releases))
    assert found.python is not None
    answer = subprocess.run(
        [found.python, "-c", f"import {NAME}, torch; print({NAME}.VERSION, torch.__file__)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    import torch

    assert ["1.1", torch.__file__] == answer


def test_a_requirement_that_pip_cannot_install_is_refused_and_leaves_nothing(
    releases: Path, tmp_path: Path
) -> None:
    """One line, with the versions that pip knows."""
    with pytest.raises(SpecError, match=rf"pip can install {NAME}==9.9.*9\.9") as caught:
        made("9.9")
    assert "\n" not in str(caught.value)
    assert [] == folders(releases)


def test_an_interrupted_installation_leaves_nothing(
    releases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C ends pip too, and leaves no environment."""
    noted = tmp_path / "pid"
    program = (
        f"import os, time; open({str(noted)!r}, 'w').write(str(os.getpid())); "
        "print('Collecting', flush=True); time.sleep(60)"
    )
    monkeypatch.setattr(installers, "_PIP", ("-c", program))

    def stopped(word: str) -> None:
        if "pip" in word:
            raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        environment_with(parse(f"{NAME}==1.0"), None, stopped)
    assert time.monotonic() - began < 30
    assert [] == folders(releases)
    assert not psutil.pid_exists(int(noted.read_text()))


def test_a_folder_of_a_killed_process_is_not_used(
    releases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A partial folder is removed, and not used as an environment."""
    wanted = parse(f"{NAME}==1.0")
    partial = releases / "environments" / f"{name_of(wanted, ask(None))}.partial"
    (partial / "bin").mkdir(parents=True)
    (partial / "bin" / "python").symlink_to(sys.executable)
    seen: list[bool] = []

    def installed(_: str, python: Path, *__: object) -> None:
        seen.append((python.parent.parent / "pyvenv.cfg").exists())
        raise SpecError("stop here")

    monkeypatch.setattr(environments, "install", installed)
    with pytest.raises(SpecError, match="stop here"):
        environment_with(wanted, None, lambda word: None)
    assert [True] == seen
    assert [] == folders(releases)


def test_two_processes_make_one_environment(
    releases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second process waits, reports it, and uses the environment that the first has made."""
    wanted = parse(f"{NAME}==1.0")
    count: list[str] = []
    messages: list[str] = []

    def slowly(_: str, python: Path, *__: object) -> None:
        count.append("made")
        time.sleep(2.5)
        lib = next((python.parent.parent / "lib").iterdir()) / "site-packages"
        info = lib / f"{NAME}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Name: {NAME}\nVersion: 1.0\n", encoding="utf-8")

    monkeypatch.setattr(environments, "install", slowly)
    found: list[Libraries] = []

    def one() -> None:
        found.append(environment_with(wanted, None, messages.append))

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ["made"] == count
    assert found[0] == found[1]
    assert any("another process" in word for word in messages)
    assert 1 == len(folders(releases))


def test_other_versions_than_required_are_refused(
    releases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interpreter is asked, whatever the installer reported."""
    monkeypatch.setattr(environments, "install", lambda *_: None)
    with pytest.raises(SpecError, match=rf"an environment made with {NAME}==1.0 has it"):
        made("1.0")


def test_a_release_for_another_python_is_not_installed(releases: Path) -> None:
    """A release that does not support this Python is refused."""
    with pytest.raises(SpecError, match=f"pip can install {NAME}==1.3"):
        made("1.3")
