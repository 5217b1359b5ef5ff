"""A tiny package in several releases, in an index that is the only one that pip uses."""

from __future__ import annotations

import html
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.execution.environments import installers

__all__ = ["NAME", "Release", "index", "only_from", "releases"]

NAME = "harnessfakelib"


@dataclass(frozen=True)
class Release:
    """A module of two constants: its version and a learning rate."""

    version: str
    rate: float
    python: str = ">=3.11"
    yanked: bool = False
    broken: bool = False
    """It cannot be imported."""


def index(folder: Path, *found: Release) -> str:
    """The URL of an index in `folder` that has these releases."""
    pages = folder / NAME
    pages.mkdir(parents=True)
    links = []
    for each in found:
        wheel = _wheel(pages, each)
        yanked = ' data-yanked="a mistake"' if each.yanked else ""
        python = html.escape(each.python)
        link = f'<a href="{wheel.name}" data-requires-python="{python}"{yanked}>{wheel.name}</a>'
        links.append(link)
    page = f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>"
    (pages / "index.html").write_text(page, encoding="utf-8")
    return folder.as_uri()


def _wheel(folder: Path, release: Release) -> Path:
    info = f"{NAME}-{release.version}.dist-info"
    code = f"VERSION = {release.version!r}\nLEARNING_RATE = {release.rate!r}\n"
    files = {
        f"{NAME}.py": "raise RuntimeError('broken')\n" if release.broken else code,
        f"{info}/METADATA": (
            f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {release.version}\n"
            f"Requires-Python: {release.python}\n"
        ),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    names = [*files, f"{info}/RECORD"]
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in names)
    path = folder / f"{NAME}-{release.version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    return path


def only_from(url: str, cache: Path) -> dict[str, str]:
    """Variables that limit pip to this index and keep environments in `cache`."""
    return {
        "PIP_INDEX_URL": url,
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_FIND_LINKS": "",
        "PIP_CONFIG_FILE": os.devnull,
        "HARNESS_CACHE": str(cache),
    }


@pytest.fixture
def releases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A few releases, and a cache of the test's own, which is returned. uv is not used."""
    monkeypatch.setattr(installers, "_UV", "uv-that-is-not-there")
    url = index(
        tmp_path / "index",
        Release("1.10", 2e-3),
        Release("1.0", 1e-3),
        Release("1.1", 1e-3),
        Release("1.2", 2e-3, yanked=True),
        Release("1.3", 2e-3, python=">=99"),
        Release("1.11rc1", 2e-3),
    )
    for name, value in only_from(url, tmp_path / "cache").items():
        monkeypatch.setenv(name, value)
    return tmp_path / "cache"
