"""Whether the other processes of a training live: a node that is gone closes no connection, and says nothing."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

BEAT_SECONDS: Final = 5.0
SILENT_SECONDS: Final = 40.0
"""After which a process counts as lost. With a beat before and a look after it, all others end within a minute."""


class Counters(Protocol):
    """What torch's stores are here: numbers by name, which all processes share."""

    def add(self, name: str, amount: int, /) -> int:
        """Add to a number, which is 0 at first, and give it back.

        Raises:
            RuntimeError: nobody answers.
        """


class Heartbeats:
    """Counts on a number of this process's own, and sees whether those of all others go on."""

    def __init__(self, counters: Counters, *, rank: int, size: int, clock: Callable[[], float]) -> None:
        """Args: shared numbers; this process, of so many; monotonic seconds."""
        self._counters, self._rank, self._clock = counters, rank, clock
        self._seen = {other: (0, clock()) for other in range(size) if other != rank}

    def beat(self) -> None:
        """Show that this process lives, and look for the others; it may block, or raise RuntimeError."""
        self._counters.add(f"alive/{self._rank}", 1)
        for other, (before, _) in self._seen.items():
            count = self._counters.add(f"alive/{other}", 0)
            if count != before:
                self._seen[other] = (count, self._clock())

    def lost(self) -> bool:
        """Whether any other has been silent for too long, or could not be looked for."""
        return any(self._clock() - last > SILENT_SECONDS for _, last in self._seen.values())


@contextmanager
def watched(heartbeats: Heartbeats, on_lost: Callable[[], None]) -> Iterator[None]:
    """Inside, two threads beat and look; ``on_lost`` is called once, if a process is lost.

    A process that waits for a lost one in the middle of a sum cannot be woken up: it has to end.
    """
    over = threading.Event()

    def beat() -> None:
        while not over.wait(BEAT_SECONDS):
            try:
                heartbeats.beat()
            except RuntimeError:
                continue  # who answers no more is silent

    def look() -> None:
        while not over.wait(BEAT_SECONDS):
            if heartbeats.lost():
                on_lost()
                return

    for work in (beat, look):
        threading.Thread(target=work, daemon=True, name=f"heartbeats-{work.__name__}").start()
    try:
        yield
    finally:
        over.set()
