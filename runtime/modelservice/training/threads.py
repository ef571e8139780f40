"""How many threads a training is worth.

A thread that waits for tiny pieces of work spins: on a busy machine two threads trained small networks ten to thirty
times slower than one. Small steps get one thread, which also makes them the same bits on any number of CPUs.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

MIN_WORK = 2**24
"""Multiply-adds of one step, some milliseconds of one thread, from which several are worth it."""


def threads_for(*, work: int, available: int) -> int:
    """One thread for small steps, all that are there otherwise; ``work`` are the multiply-adds of one step."""
    return available if work >= MIN_WORK else 1


@contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """Let torch use so many threads while inside."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
