"""The comment on a pull request: posted once, then replaced; nothing of it decides a build."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".github" / "actions" / "harness" / "comment.sh"
GH = """#!/usr/bin/env bash
printf '%s\\n' "$(printf '%s\\t' "$@")" >>"$ASKED"
for argument in "$@"; do
  case "$argument" in body=@*) cat "${argument#body=@}" >"$POSTED" ;; esac
done
if [ "$2" = --paginate ]; then printf '%s' "$KNOWN"; fi
exit "$CODE"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a report's comment, and with `gh` as a program that notes what it is asked."""
    gh = tmp_path / "bin" / "gh"
    gh.parent.mkdir()
    gh.write_text(GH, encoding="utf-8")
    gh.chmod(0o755)
    (tmp_path / "comment.md").write_text("### The loops differ\n", encoding="utf-8")
    return tmp_path


def posted(folder: Path, **variables: str) -> tuple[str, list[list[str]]]:
    """What the script prints, and the words of each call of `gh`. It never fails."""
    asked = folder / "asked.txt"
    done = subprocess.run(
        ["bash", str(SCRIPT), str(folder / "comment.md")],
        env={
            "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "GITHUB_REF": "refs/pull/17/merge",
            "GITHUB_REPOSITORY": "somebody/training",
            "RUNNER_TEMP": str(folder),
            "NAME": 'harness-cpu" --> $(touch hacked)',
            "ASKED": str(asked),
            "POSTED": str(folder / "posted.md"),
            "KNOWN": "",
            "CODE": "0",
            **variables,
        },
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = asked.read_text(encoding="utf-8").splitlines() if asked.exists() else []
    return done.stdout, [line.rstrip("\t").split("\t") for line in lines]


def test_the_first_build_posts_a_comment_with_its_mark(folder: Path) -> None:
    """The mark tells it apart from other comments, and holds no markup of the name."""
    printed, (search, post) = posted(folder)

    assert "" == printed
    assert "repos/somebody/training/issues/17/comments" in search
    assert ["--method", "POST"] == post[2:4]
    mark, *text = (folder / "posted.md").read_text(encoding="utf-8").splitlines()
    assert "<!-- trainloop-harness: harnesscpu  touch hacked -->" == mark
    assert json.dumps(mark)[1:-1] == mark
    assert mark in search[-1]
    assert ["### The loops differ"] == text
    assert not (folder / "hacked").exists()


def test_a_later_build_replaces_the_comment(folder: Path) -> None:
    """Of several with the mark, the first."""
    _, (_, change) = posted(folder, KNOWN="4711\n4712\n")

    assert ["--method", "PATCH", "repos/somebody/training/issues/comments/4711"] == change[2:5]


def test_a_comment_that_cannot_be_posted_is_a_warning(folder: Path) -> None:
    printed, _ = posted(folder, CODE="1")

    assert printed.startswith("::warning title=harness%3A no comment::")


@pytest.mark.parametrize("reference", ["refs/heads/main", "refs/tags/v1", ""])
def test_other_builds_post_nothing(reference: str, folder: Path) -> None:
    printed, asked = posted(folder, GITHUB_REF=reference)

    assert (printed[:11], asked) == ("No comment:", [])


def test_without_a_report_nothing_is_posted(folder: Path) -> None:
    (folder / "comment.md").unlink()

    assert [] == posted(folder)[1]
