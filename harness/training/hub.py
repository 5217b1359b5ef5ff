"""Whether something of the Hugging Face hub is at hand: cached here, or within reach just now.

The libraries retry for minutes before they give up; a user without a network is told at once.
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
    """Raise `SpecError` unless `repo` can be had.

    `kind`: 'model' or 'dataset'. `cached_file`: a file whose presence in the cache tells that the
    rest is there; None where the library keeps its own cache, which is then left to it.
    """
    try:
        if cached_file and isinstance(
            try_to_load_from_cache(repo, cached_file, repo_type=kind), str
        ):
            return
    except HFValidationError:
        raise SpecError(f"{kind}= takes a folder or a hub id", repr(repo), remedy) from None
    if constants.HF_HUB_OFFLINE:
        raise SpecError(f"{kind} {repo} is not cached here", "HF_HUB_OFFLINE is set", remedy)
    address = urlparse(constants.ENDPOINT)
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        socket.create_connection((address.hostname or "", port), timeout=_TIMEOUT_S).close()
    except OSError as error:
        raise SpecError(
            f"{kind} {repo} is not here and the hub is out of reach", error, remedy
        ) from None
