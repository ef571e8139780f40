"""How digests are written: ``sha256:`` and 64 hexadecimal digits."""

import hashlib
from collections.abc import Sequence
from typing import Final, Protocol

_PREFIX: Final = "sha256:"


class Hash(Protocol):
    """What ``hashlib.sha256`` gives."""

    def hexdigest(self) -> str:
        """As 64 digits."""


def sha256(content: bytes) -> str:
    """``sha256:...`` of some bytes."""
    return written(hashlib.sha256(content))


def written(state: Hash) -> str:
    """``sha256:...`` of what a hash was told so far."""
    return f"{_PREFIX}{state.hexdigest()}"


def joined(digests: Sequence[str]) -> str:
    """The digest of several files by their own, in order; of one file its own."""
    return digests[0] if len(digests) == 1 else sha256("\n".join(digests).encode())


def digits(digest: str) -> str:
    """The digits of a digest alone."""
    return digest.removeprefix(_PREFIX)
