"""`harness init`: write a commented file to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.shared import output_console
from harness.errors import SpecError, check_known, full_disk_reported
from harness.results.record import write_atomically

__all__ = ["init_command"]

_FOLDER = Path(__file__).parent.parent / "training" / "starters"
_STARTERS = {"loop": "loop.py", "task": "task.py", "case": "case.toml"}
_NEXT = {
    "loop": "harness run --loops plain,{path} --set max_steps=20",
    "task": "harness run {path}",
    "case": "harness run {path}",
}


def init_command(
    kind: Annotated[str, typer.Argument(metavar="|".join(_STARTERS), help="What to write.")],
    path: Annotated[
        Path | None,
        typer.Argument(
            help="The new file. Default: my_loop.py, my_task.py or my_case.toml.",
            show_default=False,
        ),
    ] = None,
) -> int:
    """Write a commented loop, task or case to begin with. It works as it is.

    Example: harness init loop my_loop.py
    """
    check_known("starter", kind, _STARTERS)
    starter = _FOLDER / _STARTERS[kind]
    target = Path(f"my_{starter.name}") if path is None else path
    if target.suffix != starter.suffix:
        raise SpecError(f"a {kind} is a file that ends in {starter.suffix}", target, "rename it")
    text = starter.read_text(encoding="utf-8")
    text = text.replace(f"my_{starter.name}", target.name)
    if target.exists():
        raise SpecError(
            "harness init writes a new file", f"{target}, which exists", "pass another path"
        )
    try:
        with full_disk_reported(target), write_atomically(target) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SpecError("the file must be writable", error, "pass another path") from None
    console = output_console()
    console.print(f"Wrote {target}. Next:", soft_wrap=True, highlight=False, markup=False)
    command = _NEXT[kind].format(path=target)
    console.print(f"  {command}", soft_wrap=True, highlight=False, markup=False)
    return 0
