"""The page of the study: one table with a line for each pair of neighbouring releases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from harness.results.record import write_atomically
from studies.release_pairs.rows import DIFFERENT, IDENTICAL, UNKNOWN, place_of
from studies.release_pairs.train import MODES

__all__ = ["table", "write_page"]

_HEAD = ("library", "from", "to", "other packages that changed", *MODES, "what differs, and why")


def write_page(out: Path, result: Mapping[str, Any]) -> None:
    """Write `README.md`: the counts and the table, from which the published page was made."""
    trained = [each for each in result["releases"] if "why_not" not in each]
    alike = sum(each["loops_alike"] is True for each in trained)
    intro = (
        f"{result['neighbouring pairs']} pairs of neighbouring releases on the embedded case: "
        f"{result['pairs that are identical']} are identical, bit for bit, in all loops and "
        f"modes, and {result['pairs that differ']} differ. In "
        f"{result['pairs with a run that was not compared']}, a run could not be compared. With "
        f"matched conventions the three loops compute the same in {alike} of {len(trained)} "
        "releases."
    )
    with write_atomically(out / "README.md") as path:
        path.write_text(f"# {out.name}\n\n{intro}\n\n{table(result)}\n", encoding="utf-8")


def table(result: Mapping[str, Any]) -> str:
    """Each pair in a line, the oldest first, and the releases that were not trained."""
    libraries = dict.fromkeys(each["library"] for each in result["releases"])
    lines = ["| " + " | ".join(_HEAD) + " |", "|---" * len(_HEAD) + "|"]
    for library in libraries:
        pairs = [pair for pair in result["pairs"] if pair["library"] == library]
        lines += [_line(pair) for pair in reversed(pairs)]
    for control in result["controls"]:
        name = f"control: {control['version']} with one line changed, which {control['does']}"
        cells = [control["library"], control["version"], name, "-"]
        found = "; ".join(control["mistakes"]) or "as planted"
        lines.append(_joined([*cells, *_outcomes(control["rows"]), found]))
    missing = [each for each in result["releases"] if "why_not" in each]
    if missing:
        lines += ["", "Not trained:", ""]
        for (library, why), group in groupby(
            missing, lambda each: (each["library"], each["why_not"])
        ):
            versions = ", ".join(reversed([each["version"] for each in group]))
            lines.append(f"- {library} {versions}: {why}")
    return "\n".join(lines)


def _line(pair: Mapping[str, Any]) -> str:
    between = f" ({len(pair['between'])} between)" if pair["between"] else ""
    cells = [pair["library"], pair["from"], f"{pair['to']}{between}", _moved(pair["moved"])]
    return _joined([*cells, *_outcomes(pair["rows"]), _why(pair)])


def _joined(cells: Iterable[str]) -> str:
    texts = (text.replace("|", "\\|").replace("\n", " ") for text in cells)
    return f"| {' | '.join(texts)} |"


def _moved(changes: Mapping[str, list[str | None]]) -> str:
    texts = (f"{name} {_versions(pair)}" for name, pair in changes.items())
    return ", ".join(texts) or "-"


def _versions(pair: Iterable[str | None]) -> str:
    return " to ".join(text or "absent" for text in pair)


def _outcomes(rows: Iterable[dict[str, Any]]) -> list[str]:
    """A cell for each mode."""
    every = list(rows)
    return [_outcome([row for row in every if row["mode"] == mode]) for mode in MODES]


def _outcome(rows: list[dict[str, Any]]) -> str:
    """One word if all loops agree, else the loops of each outcome."""
    places: dict[str, list[str]] = {}
    for row in rows:
        places.setdefault(place_of(row), []).append(row["loop"])
    if len(places) == 1:
        return next(iter(places))
    return "; ".join(f"{', '.join(loops)}: {place}" for place, loops in places.items())


def _why(pair: Mapping[str, Any]) -> str:
    """What the harness reports of the differences, and whether other packages are the cause."""
    rows = pair["rows"]
    different = [row for row in rows if row["outcome"] == DIFFERENT]
    parts = list(dict.fromkeys(f"{_stages(row)}; harness: {row['because']}" for row in different))
    parts += dict.fromkeys(row["why"] for row in rows if row["outcome"] == UNKNOWN)
    settings = {name: v for row in rows for name, v in row.get("settings", {}).items()}
    parts += [f"setting {name}: {v[0]} to {v[1]}" for name, v in settings.items()]
    if "held" in pair:
        parts.append(_held(pair["held"], different))
    return ". ".join(parts) or "-"


def _stages(row: Mapping[str, Any]) -> str:
    """The stages that differ, as the subject and verb of a sentence."""
    verb = "differs" if len(row["stages"]) == 1 else "differ"
    return f"{', '.join(row['stages'])} {verb} and nothing else"


def _held(held: Mapping[str, Any], different: list[dict[str, Any]]) -> str:
    """Whether the difference stays if the other packages do not change."""
    if "why_not" in held:
        return f"the other packages could not be held: {held['why_not']}"
    rows = {(row["mode"], row["loop"]): row for row in held["rows"]}
    places = [(place_of(row), place_of(rows[row["mode"], row["loop"]])) for row in different]
    if all(one == two for one, two in places):
        answer = "the same differences"
    elif all(two == IDENTICAL for _, two in places):
        answer = "identical, so they are the cause"
    else:
        answer = ", ".join(dict.fromkeys(two for _, two in places))
    names = ", ".join(f"{name} {text}" for name, text in held["packages"].items())
    return f"{held['release']} with {names}: {answer}"
