"""The wheel, installed into fresh environments and used from another folder.

The environments see nothing of this checkout. Their dependencies are links to the distributions of
the environment that runs the tests: those that the wheel's own metadata asks for, and no others.
So a dependency that is not declared, or declared under the wrong extra, is missing there.
"""

from __future__ import annotations

import email
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from harness.version import __version__
from tests.support.records import draft, write_run_folder

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
DISTRIBUTION = "trainloop-harness"
SMALL = ("--set", "max_steps=3", "--set", "train_rows=24", "--set", "eval_rows=8")
PAGES = ("report.html", "report.md", "report.json", "report.csv", "junit.xml")


@dataclass(frozen=True)
class Installation:
    """An environment in which a wheel is installed."""

    bin: Path
    site_packages: Path

    def harness(self, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run the command `harness`."""
        return run([self.bin / "harness", *arguments], cwd)


def run(command: Iterable[object], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a program without this checkout on its path, and without a network."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**variables, "HF_HUB_OFFLINE": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def copy_of_the_sources(folder: Path) -> Path:
    """What a build reads, free to be changed, and without files of an earlier build."""
    folder.mkdir()
    shutil.copytree(
        ROOT / "harness", folder / "harness", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    return folder


def build(sources: Path, folder: Path) -> Path:
    """The wheel of `sources`, built with the setuptools of this environment."""
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder]
    done = run([sys.executable, "-m", "pip", "wheel", *options, sources], sources)
    assert 0 == done.returncode, done.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel: Path, folder: Path, extras: Iterable[str] = ()) -> Installation:
    """A fresh environment with the wheel, its dependencies, and those of `extras`."""
    venv.create(folder, symlinks=True)
    site_packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder)}))
    for distribution in dependencies(wheel, extras):
        link(distribution, site_packages)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install"]
    done = run([*pip, "--quiet", "--no-deps", "--no-index", wheel], folder)
    assert 0 == done.returncode, done.stderr
    return Installation(python.parent, site_packages)


def dependencies(wheel: Path, extras: Iterable[str]) -> Iterator[metadata.Distribution]:
    """The distributions that a wheel asks for, and those that these ask for in turn."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        message = email.message_from_bytes(archive.read(name))
    waiting = needed(message.get_all("Requires-Dist") or [], extras)
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        requirement = waiting.pop()
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key not in seen:
            seen.add(key)
            distribution = metadata.distribution(requirement.name)
            waiting += needed(distribution.requires or [], requirement.extras)
            yield distribution


def needed(texts: Iterable[str], extras: Iterable[str]) -> list[Requirement]:
    """The requirements of `texts` that hold here with `extras`."""
    environments = [{"extra": extra} for extra in ("", *extras)]
    return [
        requirement
        for requirement in map(Requirement, texts)
        if requirement.marker is None or any(map(requirement.marker.evaluate, environments))
    ]


def link(distribution: metadata.Distribution, site_packages: Path) -> None:
    """Links in `site_packages` to the files and folders of a distribution."""
    for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
        target = site_packages / top
        if not target.exists():
            target.symlink_to(Path(str(distribution.locate_file(top))))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    return build(copy_of_the_sources(folder / "sources"), folder)


@pytest.fixture(scope="module")
def core(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """An environment without extras, and so without torch."""
    return install(wheel, tmp_path_factory.mktemp("core"))


@pytest.fixture(scope="module")
def trained(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a run in an environment with the extra `train`, made elsewhere."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    training = install(wheel, tmp_path_factory.mktemp("train"), ["train"])
    done = training.harness("run", *SMALL, "--out", "out", cwd=elsewhere)
    assert 0 == done.returncode, done.stdout + done.stderr
    code = "import harness; print(harness.__file__, harness.__version__)"
    place, version = run([training.bin / "python", "-c", code], elsewhere).stdout.split()
    assert Path(place).is_relative_to(training.site_packages)
    assert __version__ == version
    assert f"harness {__version__}\n" == training.harness("--version", cwd=elsewhere).stdout
    return elsewhere / "out"


def reports(installed: Installation, run_folder: Path) -> dict[str, bytes]:
    """What `harness report` writes for a copy of a run, as an installed command."""
    folder = run_folder.with_name("again")
    shutil.copytree(run_folder, folder)
    try:
        for path in (*map(folder.joinpath, PAGES[:2]), *folder.glob("plots/*.svg")):
            path.unlink()
        done = installed.harness("report", folder, cwd=folder.parent)
        assert 0 == done.returncode, done.stderr
        return contents(folder)
    finally:
        shutil.rmtree(folder)


def contents(folder: Path) -> dict[str, bytes]:
    """The files of an output folder, without its records."""
    paths = [*map(folder.joinpath, PAGES), *sorted(folder.glob("plots/*.svg"))]
    return {path.name: path.read_bytes() for path in paths}


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    """Templates, the synthetic checkpoint, metrics and `py.typed` included; no file besides."""
    package = ROOT / "harness"
    expected = {
        path.relative_to(ROOT).as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert expected == packed
    assert {"harness/py.typed", "harness/report/templates/style.css"} <= packed


def test_a_run_of_an_installed_copy_writes_all_its_files(trained: Path) -> None:
    """Every page, the plots and the records, in a folder far from the checkout."""
    assert set(PAGES) <= contents(trained).keys()
    plots = contents(trained).keys() - set(PAGES)
    assert 3 <= len(plots)  # one for each quantity
    assert all(name.endswith(".svg") for name in plots)
    assert 3 == len(list(trained.glob("records/*/record.json")))


def test_the_core_reports_without_torch(core: Installation, trained: Path) -> None:
    """The same bytes as the environment that trained."""
    assert 0 != run([core.bin / "python", "-c", "import torch"], trained.parent).returncode
    assert contents(trained) == reports(core, trained)


def test_a_missing_template_is_noticed(
    trained: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Control: the checks above fail for a wheel that lacks one template of the page."""
    sources = copy_of_the_sources(tmp_path / "sources")
    (sources / "harness/report/templates/blocks.html.j2").unlink()
    spoiled = install(build(sources, tmp_path), tmp_path_factory.mktemp("spoiled"))
    with pytest.raises(AssertionError, match=r"blocks\.html\.j2"):
        reports(spoiled, trained)


def test_the_core_works_on_recorded_runs(core: Installation, trained: Path) -> None:
    """Commands that do not train answer without torch; those that train name the extra.

    The latter end with exit code 2 and one line that holds the remedy, and leave nothing behind.
    """
    place = trained.parent
    for command in (
        "--help",
        "list --json",
        "compare out out --out compared",
        "annotate out",
        "accept out --baseline accepted --reason first",
        "history paraphrase --baseline accepted",
        "publish out small",
        "index",
    ):
        done = core.harness(*command.split(), cwd=place)
        assert 0 == done.returncode, (command, done.stdout, done.stderr)

    before = sorted(place.rglob("*"))
    for command in (
        "run",
        "bench",
        "explain paraphrase",
        "check --exact-only --baseline accepted",
    ):
        done = core.harness(*command.split(), "--out", "new", cwd=place)
        assert 2 == done.returncode, (command, done.stdout, done.stderr)
        line = done.stderr.strip().splitlines()[-1]
        assert line.startswith("harness: a command that trains needs the extra 'train' (met")
        assert "torch" in line
        assert line.endswith(f"pip install '{DISTRIBUTION}[train]'")
        assert before == sorted(place.rglob("*")), command


def test_the_core_finds_a_difference(core: Installation, tmp_path: Path) -> None:
    """A comparison without torch is a comparison: one changed loss gives exit code 1."""
    changed = draft("trainer")
    changed.micro_batch(3)["loss"] += 1e-3
    write_run_folder(tmp_path / "one", {"plain": draft()})
    write_run_folder(tmp_path / "two", {"plain": changed})
    assert 0 == core.harness("compare", "one", "one", cwd=tmp_path).returncode
    done = core.harness("compare", "one", "two", cwd=tmp_path)
    assert 1 == done.returncode, done.stderr
    assert "step 3" in done.stdout
