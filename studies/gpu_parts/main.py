"""One part of `studies.gpu`, in a process of its own.

python -m studies.gpu_parts.main PART DEVICE FOLDER JOBS
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

from harness.results.record import write_atomically
from studies.gpu import PARTS


def main(name: str, device: str, folder: Path, jobs: int) -> None:
    """Run the part and write its figures."""
    part = PARTS[name]
    module = importlib.import_module(f"studies.gpu_parts.{part.module}")
    figures = getattr(module, part.function)(device, folder, jobs)
    with write_atomically(folder / "part.json") as path:
        path.write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
