"""`harness` with one more suite, `small`: two cases of three steps. A program, which a test can
kill at any moment and start again. Its first argument is the folder of the data.
"""

import sys
from typing import Any

from harness.spec import registry, suites
from harness.spec.case import Case

CHANGES: dict[str, dict[str, Any]] = {"one": {}, "two": {"seed": 7}}


def small(data: str) -> list[Case]:
    """The cases of the suite."""
    case = registry.cases()["paraphrase"]
    few = {"data": data, "max_steps": 3}
    return [
        registry.with_settings(case, {**few, **changes}).model_copy(update={"name": name})
        for name, changes in CHANGES.items()
    ]


if __name__ == "__main__":
    where = sys.argv.pop(1)
    suites.SUITES["small"] = lambda: small(where)
    from harness.cli.main import main  # this reads the names of the suites

    sys.exit(main())
