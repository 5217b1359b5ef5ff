"""Compares the training under neighbouring releases of transformers, accelerate and torch.

    python -m studies.releases --out FOLDER

Each release is installed into an environment of its own, in which all other packages stay as they
are unless the release needs another version. There the embedded case is trained by three loops,
with matched and with native conventions, for 12 steps. Each release is compared with the one
before it, value by value. Where they differ and other packages changed too, one side is trained
again with the packages of the other. Two releases are also compared with themselves with one line
changed, which must differ where that line acts. Builds for CUDA are left out. Speeds are not
measured. Takes 1 minute for each release on one idle core, and needs the package index. Started
again with the same --out, it continues. Published: `reports/published/releases`. The exit code is
1 if there are fewer pairs than 15, or if a changed line is not found.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from rich.console import Console

from harness.execution.environments.releases import released
from studies.release_pairs.choose import LIBRARIES, chosen, unfit
from studies.release_pairs.controls import CONTROLS, Control, mistakes, plant
from studies.release_pairs.page import write_page
from studies.release_pairs.rows import DIFFERENT, UNKNOWN, loops_alike, moved, place_of, rows_of
from studies.release_pairs.train import SETTINGS, Trained, train
from studies.study import write_result

__all__ = ["LEAST", "check_control", "study_releases", "summary"]

LEAST = 15
"""Pairs that the study must hold."""
_PAIR = 2


def study_releases(
    library: str, versions: Sequence[str], every: Sequence[str], out: Path, result: dict[str, Any]
) -> None:
    """Train the releases, the newest first; compare neighbours, and write the result after each.

    `every`: all releases of the library, so that a pair names those between that are not trained.
    """
    newer: tuple[str, Trained] | None = None
    reasons = {version: unfit(Requirement(f"{library}=={version}")) for version in versions}
    alone = sum(not why for why in reasons.values()) < _PAIR
    for version in reversed(versions):
        folder = out / f"{library}-{version}"
        why = reasons[version] or ("there is no other to compare it with" if alone else "")
        exact = [Requirement(f"{library}=={version}")]
        trained = Trained(folder, why_not=why) if why else train(exact, folder, _console())
        release: dict[str, Any] = {"library": library, "version": version}
        if trained.why_not:
            result["releases"].append({**release, "why_not": trained.why_not})
        else:
            result["releases"].append({**release, "loops_alike": loops_alike(trained)})
            if newer is not None:
                between = every[every.index(version) + 1 : every.index(newer[0])]
                result["pairs"].append(_pair(library, (version, trained), newer, between, out))
            newer = (version, trained)
        write_result(out, {**summary(result), **result})
        _say(result, version)


def _pair(
    library: str,
    one: tuple[str, Trained],
    two: tuple[str, Trained],
    between: Sequence[str],
    out: Path,
) -> dict[str, Any]:
    """Two releases compared. `between`: the releases between them, which were not trained."""
    changes = moved(one[1], two[1], library)
    pair: dict[str, Any] = {
        "library": library,
        "from": one[0],
        "to": two[0],
        "between": list(between),
        "moved": changes,
        "rows": rows_of(one[1], two[1]),
    }
    if changes and any(row["outcome"] == DIFFERENT for row in pair["rows"]):
        pair["held"] = _with_others_held(library, one, two, changes, out)
    return pair


def _with_others_held(
    library: str,
    one: tuple[str, Trained],
    two: tuple[str, Trained],
    changes: dict[str, list[str | None]],
    out: Path,
) -> dict[str, Any]:
    """The same two releases with the other packages at equal versions, on the side that allows it.

    The newer release is tried with the packages of the older one first.
    """
    reasons = []
    for side, version, base in ((0, two[0], one[1]), (1, one[0], two[1])):
        names = {name: pair[side] for name, pair in changes.items() if all(pair)}
        texts = [f"{library}=={version}", *(f"{name}=={text}" for name, text in names.items())]
        folder = out / f"{library}-{version}-held-{side}"
        trained = train(list(map(Requirement, texts)), folder, _console())
        if trained.why_not:
            reasons.append(f"{version}: {trained.why_not}")
            continue
        pair = (base, trained) if side == 0 else (trained, base)
        rows = rows_of(*pair)
        return {"release": version, "packages": names, "moved": moved(*pair, library), "rows": rows}
    return {"why_not": "; ".join(reasons)}


def check_control(control: Control, out: Path) -> dict[str, Any]:
    """Train a release, and the same with one line changed; judge where the two differ."""
    name = f"{control.library}-{control.version}"
    exact = [Requirement(f"{control.library}=={control.version}")]
    released = train(exact, out / name, _console())
    changed = train(exact, out / f"{name}-changed", _console(), partial(plant, control))
    rows = rows_of(released, changed)
    return {
        "library": control.library,
        "version": control.version,
        "does": control.does,
        "rows": rows,
        "mistakes": mistakes(control, rows),
    }


def summary(result: dict[str, Any]) -> dict[str, Any]:
    """What was trained, and the counts. A pair with a release between is no neighbouring pair."""
    pairs = [pair for pair in result["pairs"] if not pair["between"]]
    outcomes = [{row["outcome"] for row in pair["rows"]} for pair in pairs]
    return {
        "case": "paraphrase",
        "settings": dict(SETTINGS),
        "releases trained": sum("why_not" not in each for each in result["releases"]),
        "releases not trained": sum("why_not" in each for each in result["releases"]),
        "neighbouring pairs": len(pairs),
        "neighbouring pairs of each library": dict(Counter(pair["library"] for pair in pairs)),
        "pairs that are identical": sum(each == {"identical"} for each in outcomes),
        "pairs that differ": sum(DIFFERENT in each for each in outcomes),
        "pairs with a run that was not compared": sum(UNKNOWN in each for each in outcomes),
        "changed lines": len(result["controls"]),
        "changed lines that are found where they act": sum(
            not each["mistakes"] for each in result["controls"]
        ),
    }


def _console() -> Console:
    return Console(quiet=True)


def _say(result: dict[str, Any], version: str) -> None:
    last = result["releases"][-1]
    text = last.get("why_not", "")
    pairs = result["pairs"]
    if (
        not text
        and pairs
        and pairs[-1]["library"] == last["library"]
        and pairs[-1]["from"] == version
    ):
        text = ", ".join(dict.fromkeys(place_of(row) for row in pairs[-1]["rows"]))
    sys.stdout.write(f"{last['library']} {version}: {text or 'trained'}\n")
    sys.stdout.flush()


def main(
    out: Annotated[Path, typer.Option(help="A folder for the runs, the result and the page.")] = (
        Path("reports/releases")
    ),
    library: Annotated[
        list[str] | None,
        typer.Option(
            help=f"A range of releases to train; can be repeated. Default: {', '.join(LIBRARIES)}."
        ),
    ] = None,
    controls: Annotated[
        bool, typer.Option(help="Also train two releases with one line changed.")
    ] = True,
) -> None:
    """Train and compare all releases, and write result.json and README.md."""
    result: dict[str, Any] = {"controls": [], "releases": [], "pairs": []}
    wanted: dict[str, list[Requirement]] = {}
    for each in map(Requirement, library or LIBRARIES):
        wanted.setdefault(canonicalize_name(each.name), []).append(each)
    for name, ranges in wanted.items():
        every = released(name).fitting
        study_releases(name, chosen(ranges, every), chosen([Requirement(name)], every), out, result)
    for control in CONTROLS if controls else ():
        result["controls"].append(check_control(control, out))
    result = {**summary(result), **result}
    write_result(out, result)
    write_page(out, result)
    broken = any(each["mistakes"] for each in result["controls"])
    sys.exit(1 if broken or result["neighbouring pairs"] < LEAST else 0)


if __name__ == "__main__":
    typer.run(main)
