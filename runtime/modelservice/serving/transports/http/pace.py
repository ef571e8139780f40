"""How long a connection waits for its client, and how many there are: what ends those who hold and never finish."""

from enum import Enum
from typing import Final

HEAD_SECONDS: Final = 20.0
"""From the first byte of a request (or from the connection) to the end of its headers."""
BODY_SECONDS: Final = 60.0
"""For a body: 16 MiB at 2.2 Mbit/s."""
KEEP_ALIVE_SECONDS: Final = 75
"""Between two requests; longer than the idle time-out of usual clients and proxies, since the server closing first
loses their next request."""
READING_SECONDS: Final = 20.0
"""For a client to take something of what was answered and is too much for its window, or for a closed connection's."""
MAX_CONNECTIONS: Final = 800
"""Of one port; with what else is open this stays under 1,024 files, the usual limit of a process."""

TURN_SECONDS: Final = 0.0005
"""Between two connections that are read again after a 429, see ``rests``: so no more than 2,000 a second are given on
connections that stay. A client that waits as long as ``Retry-After`` says does not notice."""


class Owed(Enum):
    """What a connection waits for its client to do."""

    HEAD = "headers"
    BODY = "body"
    NEXT = "another request"
    READING = "reading what was answered"
    REST = "asking less often"


LIMITS: Final = {
    Owed.HEAD: HEAD_SECONDS,
    Owed.BODY: BODY_SECONDS,
    Owed.NEXT: KEEP_ALIVE_SECONDS,
    Owed.READING: READING_SECONDS,
}
"""Seconds, looked at once a second over all connections, so that a request pays for no timer; a rest ends by itself."""
