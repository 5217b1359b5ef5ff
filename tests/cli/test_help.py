"""What the command line shows of itself: help, version, completion; and how soon."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

import harness
from harness.cli import main as cli
from harness.cli.completion import complete_cases, complete_loops, complete_settings
from harness.version import __version__

COMMANDS = [
    *(
        "run",
        "trace",
        "compare",
        "explain",
        "bisect",
        "bench",
        "check",
        "accept",
        "history",
        "upgrade",
    ),
    *("report", "export", "publish", "index", "annotate", "list", "init"),
]
START = "import sys; sys.argv[0] = 'harness'; from harness.cli.main import main; sys.exit(main())"


@pytest.fixture
def printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Standard output of a command that succeeds, on wide paper."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "dumb")

    def output(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["harness", *words])
        assert 0 == cli.main()
        out, err = capsys.readouterr()
        assert "" == err
        return out

    return output


def test_the_version_is_printed(printed: Callable[..., str]) -> None:
    """Alone, for scripts."""
    assert f"harness {__version__}\n" == printed("--version")


def test_every_command_is_listed_once(printed: Callable[..., str]) -> None:
    """In the panel of its purpose."""
    names = [command.name for command in cli.app.registered_commands]
    assert sorted(COMMANDS) == sorted(name for name in names if name)
    overview = printed("--help")
    for panel in ("Train and compare", "Find out why", "Measure speed", "Reports"):
        assert panel in overview
    for name in COMMANDS:
        assert f"│ {name} " in overview


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_by_an_example(command: str, printed: Callable[..., str]) -> None:
    """`-h` is `--help`, and shows a command that can be typed."""
    text = printed(command, "--help")
    assert f"Example: harness {command}" in text
    assert text == printed(command, "-h")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_options_of_an_example_exist(command: str) -> None:
    """The examples of each command parse; a misspelled option, for control, does not."""
    group = typer.main.get_command(cli.app)
    click_command = group.commands[command]  # type: ignore[attr-defined]  # it is a group
    lines = (click_command.help or "").splitlines()
    examples = [line for line in lines if line.startswith("Example: ")]
    assert examples
    for example in examples:
        words = shlex.split(example)[3:]
        click_command.make_context(command, words, resilient_parsing=True)
        with pytest.raises(Exception, match="No such option"):
            click_command.make_context(command, ["--lops", "x", *words])


def test_options_of_run_stand_in_panels(printed: Callable[..., str]) -> None:
    """None is left over in the general panel but `--help`."""
    text = printed("run", "--help")
    _, _, general = text.partition("─ Options ")
    general, _, panels = general.partition("╭─ ")
    assert "--help" in general
    assert "--loops" not in general
    for panel in ("Where to train", "What to record", "What to compare", "Stop and continue"):
        assert panel in panels
    assert "--localize" in panels
    assert "--dig " not in text


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("harness run para", ["paraphrase"]),
        ("harness run --loops plain,tr", ["plain,trainer"]),
        ("harness run --suite two", ["two-processes"]),
        ("harness run --device cu", ["cuda"]),
        ("harness bench --device xp", ["xpu"]),
        ("harness explain token", ["token_classification"]),
    ],
)
def test_the_shell_completes(words: str, expected: list[str], tmp_path: Path) -> None:
    """In a process of its own in which torch cannot be imported, and in an empty folder."""
    code = f"import sys; sys.modules['torch'] = None; {START}"
    completed = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(harness.__file__).parents[1]),
            "_HARNESS_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split()) - 1),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert expected == completed.stdout.split(), completed.stderr


def test_paths_and_fields_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of the right kind, once a path was begun."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loops").mkdir()
    for name in ("loops/mine.py", "loops/mine.toml"):
        (tmp_path / name).write_text("")
    assert ["plain,loops/mine.py"] == complete_loops("plain,loops/m")
    assert ["./loops/"] == complete_loops("./lo")
    assert ["loops/mine.toml", "loops/mine.py"] == complete_cases("loops/")
    assert ["warmup_steps=", "warmup_ratio="] == complete_settings("warmup")
    assert ["num_train_epochs="] == complete_settings("num_train")
    assert [] == complete_cases("nowhere/x")
