"""Lines of a stream whose sender bounds nothing: what is too long is left out, and the rest goes on."""

from collections.abc import Callable, Iterator

HEAD_BYTES = 2048
"""Of a line that is left out, what is shown: enough to tell what it was about."""


class Lines:
    """Splits a stream of chunks into lines.

    Args:
        limit: bytes of the longest line that is given.
        on_dropped: told the head of each longer one.
    """

    def __init__(self, *, limit: int, on_dropped: Callable[[bytes], None]) -> None:
        self._limit = limit
        self._on_dropped = on_dropped
        self._buffer = bytearray()
        self._dropping = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The lines that this chunk completes, without their ends."""
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            self._add(part)
            line, dropped = bytes(self._buffer), self._dropping
            self._buffer.clear()
            self._dropping = False
            if line and not dropped:
                yield line
        self._add(rest)

    def _add(self, part: bytes) -> None:
        if self._dropping:
            return
        if len(self._buffer) + len(part) > self._limit:
            self._on_dropped(bytes(self._buffer[:HEAD_BYTES]) or part[:HEAD_BYTES])
            self._buffer.clear()
            self._dropping = True
        else:
            self._buffer += part
