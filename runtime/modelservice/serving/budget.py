"""How much of requests is held at once: however many clients send however slowly, memory has an end."""

from threading import Lock
from types import TracebackType
from typing import Final, Self

from modelservice.serving.chain import MAX_BODY
from modelservice.serving.errors import BusyError, ClientLeftError

MAX_HELD: Final = 8 * MAX_BODY
"""Bytes of bodies that are being read, wait or are computed, of all transports together; of pictures also decoded.

Small bodies are not counted, since a connection has one of them at a time, and connections are counted.
"""


class Budget:
    """Bytes that are free; threads count what they make of a body."""

    def __init__(self, limit: int = MAX_HELD) -> None:
        self.limit = limit
        self.free = limit
        self.lock = Lock()

    def hold(self) -> "Held":
        """What one request holds, nothing yet; a context manager that gives all of it back."""
        return Held(self)


class Held:
    """The bytes of one request, until it is answered or given up."""

    __slots__ = ("_budget", "_is_over", "_size")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._size = 0
        self._is_over = False

    def add(self, size: int) -> None:
        """Hold more, of what is here already.

        Raises:
            BusyError: all requests together hold as much as they may.
            ClientLeftError: nobody waits for it: all was given back.
        """
        budget = self._budget
        with budget.lock:
            if self._is_over:
                raise ClientLeftError()
            if size > budget.free:
                raise BusyError(f"the server holds {budget.limit} bytes of requests, which is all it may; try again")
            budget.free -= size
            self._size += size

    def release(self) -> None:
        """Give all of it back; nothing is held after that."""
        with self._budget.lock:
            self._budget.free += self._size
            self._size = 0
            self._is_over = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
