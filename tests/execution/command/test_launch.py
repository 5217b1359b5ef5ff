"""A started command has the input, the open files and the signals that it has in a shell."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import harness
from harness.execution.command.launch import End, run


def shell(script: str, *words: str) -> End:
    program = shutil.which("sh")
    assert program is not None
    return run(program, ["sh", "-c", script, *words], os.environ)


@pytest.mark.parametrize(
    ("script", "code", "killed_by"),
    [("exit 7", 7, None), ("kill -TERM $$", 143, 15), ("kill -9 $$", 137, 9)],
)
def test_the_end_of_a_command_is_known(script: str, code: int, killed_by: int | None) -> None:
    """Its exit code, or the signal that it died of."""
    end = shell(script)
    assert (code, killed_by) == (end.exit_code, end.killed_by)
    assert end.interrupted is (killed_by == signal.SIGTERM)


def test_other_open_files_are_inherited(tmp_path: Path) -> None:
    """As a shell hands them on: `3> log` before the command."""
    with (tmp_path / "log").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        assert 0 == shell(f"echo seen > /dev/fd/{file.fileno()}").exit_code
    assert "seen\n" == (tmp_path / "log").read_text()


def test_signals_are_not_blocked_in_the_command() -> None:
    """The parent blocks them for itself alone; SIGPIPE, which Python ignores, has its default."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert 143 == shell("kill -TERM $$; exit 0").exit_code
    assert 128 + signal.SIGPIPE == shell("kill -PIPE $$; exit 0").exit_code
    assert before == signal.pthread_sigmask(signal.SIG_BLOCK, ())


PARENT = """
import os, shutil, sys
from harness.execution.command.launch import run
end = run(shutil.which("sh"), ["sh", "-c", sys.argv[1]], os.environ)
print(end.exit_code, [int(n) for n in end.signals])
"""


@pytest.mark.parametrize("name", ["INT", "TERM", "HUP", "USR1"])
def test_a_signal_to_the_parent_reaches_the_command(name: str) -> None:
    """Once, also those that would end the parent."""
    script = f"trap 'echo got; exit 9' {name}; echo ready; while :; do sleep 0.05; done"
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, script],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(harness.__file__).parents[1])},
    ) as process:
        assert process.stdout is not None
        assert "ready\n" == process.stdout.readline()
        process.send_signal(getattr(signal, f"SIG{name}"))
        try:
            out, _ = process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()  # else the block would wait for it
            raise
    sent = [] if name == "USR1" else [int(getattr(signal, f"SIG{name}"))]
    assert f"got\n9 {sent}\n" == out


@pytest.mark.parametrize("name", ["INT", "TERM"])
def test_a_signal_to_the_whole_group_reaches_the_command_once(name: str) -> None:
    """As `timeout` and schedulers send it, without a terminal."""
    script = (
        f"trap 'n=$((n+1))' {name}; n=0; echo ready; i=0; "
        "while [ $i -lt 20 ]; do sleep 0.05; i=$((i+1)); done; echo $n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, script],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(harness.__file__).parents[1])},
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert "ready\n" == process.stdout.readline()
        for _ in range(2):
            os.killpg(process.pid, getattr(signal, f"SIG{name}"))
            time.sleep(0.3)
        try:
            out, _ = process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    number = int(getattr(signal, f"SIG{name}"))
    assert f"2\n0 {[number, number]}\n" == out


def test_the_witness_of_signals_for_the_group_ends_with_the_parent() -> None:
    """Also if the parent is killed: nothing stays behind in its group."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, "echo $$; exec sleep 60"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(harness.__file__).parents[1])},
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        command = int(process.stdout.readline())
        assert 3 == len(_in_group(process.pid))  # the parent, the witness, the command
        process.kill()
        process.wait()
        ended = time.monotonic() + 20
        while {command} != _in_group(process.pid) and time.monotonic() < ended:
            time.sleep(0.05)
        assert {command} == _in_group(process.pid)
        os.kill(command, signal.SIGKILL)


def _in_group(group: int) -> set[int]:
    """The processes of a group that run."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text(encoding="utf-8").rpartition(")")
        except OSError:
            continue
        state, _, own = rest.split()[:3]
        if int(own) == group and state != "Z":
            found.add(int(name.split()[0]))
    return found
