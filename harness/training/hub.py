"""Checks whether a repository of the Hugging Face hub is cached or reachable.

The libraries retry for minutes before they fail; this check reports a missing network at once.
"""

from __future__ import annotations

import socket
from urllib.parse import urlparse

from huggingface_hub import constants, try_to_load_from_cache
from huggingface_hub.errors import HFValidationError

from harness.errors import SpecError

__all__ = ["require"]

_TIMEOUT_S = 3.0


def require(kind: str, repo: str, cached_file: str | None, remedy: str) -> None:
    """Raise `SpecError` if `repo` is neither cached nor reachable.

    `kind`: 'model' or 'dataset'. `cached_file`: a file whose presence in the cache implies the
    other files; None if the library has a cache of another kind, which is not checked.
    """
    try:
        if cached_file and isinstance(
            try_to_load_from_cache(repo, cached_file, repo_type=kind), str
        ):
            return
    except HFValidationError:
        raise SpecError(f"{kind} must be a folder or a hub id", repr(repo), remedy) from None
    if constants.HF_HUB_OFFLINE:
        raise SpecError(f"{kind} {repo} is not cached", "HF_HUB_OFFLINE is set", remedy)
    address = urlparse(constants.ENDPOINT)
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        socket.create_connection((address.hostname or "", port), timeout=_TIMEOUT_S).close()
    except OSError as error:
        raise SpecError(
            f"{kind} {repo} is not cached and the hub cannot be reached", error, remedy
        ) from None
