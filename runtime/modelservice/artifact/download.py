"""A large object fetched in parts: several requests at a time, what they gave in order, in bounded memory."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeAlias

PART_BYTES: Final = 8 << 20
"""Of one request. obstore ends each after 30 s, and tries it again: a slow line needs less for a part than for all."""
REQUESTS: Final = 6
"""At a time: a store gives one request less than the line could carry."""

Piece: TypeAlias = bytes | memoryview
Fetch = Callable[[int, int], Piece]
"""Gives the bytes from the first place to before the second; called from several threads."""


def is_one_part(*, begin: int, size: int) -> bool:
    """Whether one request gives all from ``begin`` on."""
    return size - begin <= PART_BYTES


def in_parts(fetch: Fetch, *, begin: int, size: int) -> Iterator[Piece]:
    """The bytes of an object from ``begin`` on, in order.

    At most ``REQUESTS`` parts of ``PART_BYTES`` are under way or held, besides the one that was given last.

    Args:
        fetch: gives one part; what it raises is raised here, that of an earlier part first.
        begin: place of the first byte.
        size: of the whole object, in bytes.
    """
    parts = [(at, min(at + PART_BYTES, size)) for at in range(begin, size, PART_BYTES)]
    if len(parts) == 1:  # most files of an artifact: no thread is worth it
        yield fetch(*parts[0])
        return
    with ThreadPoolExecutor(max_workers=REQUESTS, thread_name_prefix="download") as pool:
        under_way: deque[Future[Piece]] = deque()
        try:
            for part in parts:
                if len(under_way) == REQUESTS:
                    yield under_way.popleft().result()
                under_way.append(pool.submit(fetch, *part))
            while under_way:
                yield under_way.popleft().result()
        finally:  # whoever takes the parts may have enough of them
            for future in under_way:
                future.cancel()
