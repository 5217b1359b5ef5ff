"""The key of a baseline: machine class and task, which must be equal for a comparison.

The key holds no time and no commit, since both change between runs that are comparable.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import PurePath
from typing import Any

from pydantic import BaseModel, ConfigDict

from harness.results.header import SCHEMA_VERSION
from harness.results.record import RunRecord

__all__ = ["Key", "key_differences", "key_of", "machine_class", "requested_settings"]

_PATHS = ("data", "model")
"""Options that are folders. Only the last part of the path counts, so that a checkout elsewhere is
the same task. The exact facts cover the content: the batches and the initial weights."""
_MINOR = re.compile(r"\d+\.\d+")


class Key(BaseModel):
    """The key of a case on a machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int
    """Version of the records that hold the facts."""
    device: str
    device_model: str | None
    """Model of the accelerator; None on a CPU."""
    device_count: int
    driver: str | None
    cuda: str | None
    cpu_model: str
    cores: int
    """Cores that the process may use."""
    threads: int
    """Threads of each training process."""
    precision: str
    determinism: str
    """Flags that select kernels."""
    workload: str
    """Name of the workload, and a digest of recipe and options."""
    python: str
    torch: str
    transformers: str
    accelerate: str
    """Minor versions only. A patch version may change; the exact facts show its effect."""


def requested_settings(record: RunRecord) -> dict[str, Any]:
    """The settings of a run: recipe, workload options and how it was observed."""
    spec = record.run_spec
    options = {
        name: PurePath(str(value)).name if name in _PATHS and value is not None else value
        for name, value in spec.case.options.items()
    }
    return {
        **options,
        **spec.case.recipe.model_dump(mode="json"),
        "conventions": spec.conventions,
        "detail": spec.detail,
        "digests": record.header.digest_algorithm,
    }


def key_of(record: RunRecord) -> Key:
    """The key of a record: its case on the machine that made it."""
    spec, facts = record.run_spec, record.header.environment
    versions = facts["versions"]
    flags = {
        name: facts.get(name)
        for name in ("deterministic_algorithms", "float32_matmul_precision", "cpu_capability")
    }
    flags |= facts.get("deterministic") or {}
    digest = _digest(requested_settings(record))
    return Key(
        schema_version=SCHEMA_VERSION,
        device=spec.case.device,
        device_model=facts.get("device_name"),
        device_count=spec.case.world_size,
        driver=facts.get("driver"),
        cuda=facts.get("cuda"),
        cpu_model=facts["cpu"],
        cores=facts["cores"],
        threads=facts["threads"],
        precision=spec.case.recipe.precision,
        determinism=", ".join(f"{name}={value}" for name, value in sorted(flags.items())),
        workload=f"{spec.case.workload}-{digest}",
        python=_minor(facts["python"]),
        torch=_minor(versions["torch"]),
        transformers=_minor(versions["transformers"]),
        accelerate=_minor(versions["accelerate"]),
    )


def machine_class(key: Key) -> str:
    """A short name of the key that is valid in a file name."""
    model = re.sub(r"[^a-z0-9]+", "-", (key.device_model or "").lower()).strip("-")
    where = model or f"{key.cores}-cores"
    return f"{key.device}-{where}-{_digest(key.model_dump(mode='json'))}"


def key_differences(before: Key, now: Key) -> dict[str, tuple[Any, Any]]:
    """The fields in which two keys differ, each with both values."""
    ours, theirs = before.model_dump(mode="json"), now.model_dump(mode="json")
    return {name: (ours[name], theirs[name]) for name in ours if ours[name] != theirs[name]}


def _minor(version: str) -> str:
    found = _MINOR.match(version)
    return found[0] if found else version


def _digest(content: dict[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=5).hexdigest()
