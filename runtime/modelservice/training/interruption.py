"""The wish that a process ends: obeyed at once, or where the work can go on from."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Interruption:
    """Whether the process was asked to end.

    Called from a handler of signals, in the main thread. Work that leaves something to go on from puts it off, and
    obeys when it has.
    """

    def __init__(self, error: Callable[[], BaseException]) -> None:
        """Args: makes what is raised, which ends the work."""
        self._error = error
        self._put_off = 0
        self.asked = False

    def ask(self) -> None:
        """Ask for the end; a second time it is not put off any more."""
        if self.asked or not self._put_off:
            raise self._error()
        self.asked = True

    def obey(self) -> None:
        """End the work, if that was asked for."""
        if self.asked:
            raise self._error()

    @contextmanager
    def put_off(self) -> Iterator[None]:
        """Inside, the end comes with ``obey``, at the latest behind."""
        self._put_off += 1
        try:
            yield
        finally:
            self._put_off -= 1
        if not self._put_off:
            self.obey()
