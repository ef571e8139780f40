"""Work of a bench in processes of one thread each, until all is done or the time is over."""

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from typing import TypeVar

THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_Item = TypeVar("_Item")


def work_through(
    items: Sequence[_Item],
    work: Callable[[_Item], str],
    *,
    processes: int,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Do the work on each item, in order; what was begun is finished.

    Args:
        items: what is to be done.
        work: does it in another process, and says in a line what it came to.
        processes: at a time.
        seconds: nothing begins after them.
        clock: seconds.

    Returns:
        How many items were not begun.
    """
    os.environ.update(dict.fromkeys(THREAD_SETTINGS, "1"))
    deadline = clock() + seconds
    left = list(reversed(items))
    running: set[Future[str]] = set()
    # Spawned, so that the settings count before numpy and torch are imported.
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        while running or (left and clock() < deadline):
            while left and len(running) < processes and clock() < deadline:
                running.add(pool.submit(work, left.pop()))
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                sys.stderr.write(f"{future.result()}, {len(left) + len(running)} to go\n")
    return len(left)
