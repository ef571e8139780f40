"""Checkpoints that cost no work: a store that fails is told of, and the work goes on without."""

from collections.abc import Callable
from typing import TypeVar

from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.stores.base import Checkpoints
from modelservice.contract.failure import StorageError

Found = TypeVar("Found")


class ForgivingCheckpoints:
    """What a store keeps, without its errors; see ``Checkpoints``.

    What cannot be read is as if it were not there. What cannot be written is said once, and again only after it could
    be written meanwhile.
    """

    def __init__(self, checkpoints: Checkpoints, say: Callable[[str], None]) -> None:
        """Args: where they are, and what is told of errors, in a sentence."""
        self._checkpoints = checkpoints
        self._say = say
        self._failing = False

    def read(self, name: str, *, limit: int) -> bytes | None:
        """See ``Checkpoints``."""
        what = "a checkpoint cannot be read, so it is not used"
        return self._tried(what, lambda: self._checkpoints.read(name, limit=limit))

    def write(self, name: str, *content: bytes | memoryview) -> None:
        """See ``Checkpoints``."""

        def write() -> None:
            self._checkpoints.write(name, *content)
            self._failing = False

        self._tried("no checkpoint can be written, which is tried again; the work goes on", write)

    def discard(self) -> None:
        """See ``Checkpoints``."""
        self._tried("checkpoints that are of no more use cannot be removed", self._checkpoints.discard)

    def _tried(self, what: str, call: Callable[[], Found | None]) -> Found | None:
        try:
            return call()
        except (ArtifactError, StorageError, OSError) as error:
            if not self._failing:
                self._say(f"{what}: {error}")
            self._failing = True
            return None


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
