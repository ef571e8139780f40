"""Checkpoints that cost no work: a store that fails is told of, and the work goes on without."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.stores.base import Checkpoints
from modelservice.contract.failure import StorageError


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
        found = None
        with self._forgiven("a checkpoint cannot be read, so it is not used"):
            found = self._checkpoints.read(name, limit=limit)
        return found

    def write(self, name: str, content: bytes) -> None:
        """See ``Checkpoints``."""
        with self._forgiven("no checkpoint can be written, which is tried again; the work goes on"):
            self._checkpoints.write(name, content)
            self._failing = False

    def discard(self) -> None:
        """See ``Checkpoints``."""
        with self._forgiven("checkpoints that are of no more use cannot be removed"):
            self._checkpoints.discard()

    @contextmanager
    def _forgiven(self, what: str) -> Iterator[None]:
        try:
            yield
        except (ArtifactError, StorageError, OSError) as error:
            if not self._failing:
                self._say(f"{what}: {error}")
            self._failing = True


class NoCheckpoints:
    """Nowhere: nothing is kept; see ``Checkpoints``."""

    def read(self, name: str, *, limit: int) -> bytes | None:
        """Nothing; see ``Checkpoints``."""
        del name, limit
        return None

    def write(self, name: str, content: bytes) -> None:
        """See ``Checkpoints``."""

    def discard(self) -> None:
        """See ``Checkpoints``."""
