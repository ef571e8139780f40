"""Checkpoints that cost no work: a store that fails is told of, and the work goes on without."""

from collections.abc import Callable
from typing import Final

from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.stores.base import Checkpoints
from modelservice.contract.failure import StorageError

_ERRORS: Final = (ArtifactError, StorageError, OSError)


class ForgivingCheckpoints:
    """What a store keeps, without its errors; see ``Checkpoints``.

    What cannot be read is as if it were not there. That something cannot be written is said once, and again only after
    it could be meanwhile.
    """

    def __init__(self, checkpoints: Checkpoints, say: Callable[[str], None]) -> None:
        """Args: where they are, and what is told of errors, in a sentence."""
        self._checkpoints = checkpoints
        self._say = say
        self._writable = True

    def read(self, name: str, *, limit: int) -> bytes | None:
        """See ``Checkpoints``."""
        try:
            return self._checkpoints.read(name, limit=limit)
        except _ERRORS as error:
            self._say(f"a checkpoint cannot be read, so it is not used: {error}")
            return None

    def write(self, name: str, *content: bytes | memoryview) -> None:
        """See ``Checkpoints``."""
        try:
            self._checkpoints.write(name, *content)
        except _ERRORS as error:
            if self._writable:
                self._say(f"no checkpoint can be written, which is tried again; the work goes on: {error}")
            self._writable = False
        else:
            self._writable = True

    def discard(self) -> None:
        """See ``Checkpoints``."""
        try:
            self._checkpoints.discard()
        except _ERRORS as error:
            self._say(f"checkpoints that are of no more use cannot be removed: {error}")


class NoCheckpoints:
    """Nowhere: nothing is kept; see ``Checkpoints``."""

    def read(self, name: str, *, limit: int) -> bytes | None:
        """Nothing; see ``Checkpoints``."""
        del name, limit
        return None

    def write(self, name: str, *content: bytes | memoryview) -> None:
        """See ``Checkpoints``."""

    def discard(self) -> None:
        """See ``Checkpoints``."""
